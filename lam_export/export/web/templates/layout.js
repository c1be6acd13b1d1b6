// Lays the texts out on a plane (UMAP), and finds groups of near dots.
"use strict";
importScripts("umap.js");
const NEIGHBOURS = 15;
const MOST_GROUPS = 8;

let job = 0; // a new one ends the one before

self.onmessage = async ({ data: { texts, vectors, version } }) => {
  const mine = ++job;
  const random = seeded();
  const width = vectors.length / texts.length;
  const rows = texts.map((_, i) => vectors.subarray(i * width, (i + 1) * width));
  let places = texts.map((_, i) => [i, 0]);
  if (texts.length > 3) {
    // Among few texts, many neighbours would be unlike.
    const nNeighbors = Math.max(3, Math.min(NEIGHBOURS, Math.round(texts.length / 8)));
    const umap = new self.UMAP.UMAP({ nNeighbors, minDist: 0.2, random, distanceFn: apart });
    const epochs = umap.initializeFit(rows);
    const pause = 80 + texts.length / 20; // milliseconds: many dots take long to draw
    let shown = performance.now();
    for (let epoch = 0; epoch < epochs; epoch++) {
      umap.step();
      if (performance.now() - shown > pause) {
        self.postMessage({ version, places: flat(umap.getEmbedding()), share: epoch / epochs });
        await new Promise((resolve) => setTimeout(resolve));
        if (mine !== job) return;
        shown = performance.now();
      }
    }
    places = umap.getEmbedding();
  }
  const { groups, labels } = grouped(places, random);
  self.postMessage({ version, places: flat(places), share: 1, groups, labels });
};

// 1 - cosine: the vectors have unit length.
function apart(a, b) {
  let sum = 0;
  for (let i = 0; i < a.length; i++) sum += a[i] * b[i];
  return 1 - sum;
}

// The same texts give the same map (mulberry32).
function seeded(state = 7) {
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
  };
}

// Centred, and scaled to -1...1.
function flat(places) {
  const spans = [0, 1].map((axis) => {
    let [low, high] = [Infinity, -Infinity];
    for (const place of places) {
      low = Math.min(low, place[axis]);
      high = Math.max(high, place[axis]);
    }
    return [(low + high) / 2, (high - low) / 2 || 1];
  });
  return Float32Array.from(places.flatMap((place) => spans.map(([middle, half], axis) => (place[axis] - middle) / half)));
}

// k-means on the plane, begun with dots far from each other (k-means++). A group is labelled by the text nearest to its
// centre; large groups come first.
function grouped(places, random) {
  const away = ([x, y], [u, v]) => (x - u) ** 2 + (y - v) ** 2;
  const count = Math.min(MOST_GROUPS, Math.max(1, Math.round(Math.sqrt(places.length))));
  const centres = [places[0]];
  while (centres.length < count) {
    const weights = places.map((place) => Math.min(...centres.map((centre) => away(place, centre))));
    let mark = random() * weights.reduce((sum, weight) => sum + weight, 0);
    centres.push(places[Math.max(0, weights.findIndex((weight) => (mark -= weight) <= 0))]);
  }
  let groups = [];
  for (let round = 0; round < 30; round++) {
    groups = places.map((place) => {
      let best = 0;
      for (let k = 1; k < count; k++) if (away(place, centres[k]) < away(place, centres[best])) best = k;
      return best;
    });
    centres.forEach((_, k) => {
      const own = places.filter((_, i) => groups[i] === k);
      if (own.length) centres[k] = [0, 1].map((axis) => own.reduce((sum, place) => sum + place[axis], 0) / own.length);
    });
  }
  const sizes = centres.map((_, k) => groups.filter((group) => group === k).length);
  const nearest = (k) => places.reduce((best, place, i) => (away(place, centres[k]) < away(places[best], centres[k]) ? i : best), 0);
  const labels = [...centres.keys()].filter((k) => sizes[k]).sort((a, b) => sizes[b] - sizes[a]).map(nearest);
  return { groups, labels };
}
