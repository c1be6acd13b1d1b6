// Loads the model, embeds the texts and ranks them: all that takes time, away from the page's own thread.
"use strict";
const TOKENS_AT_ONCE = 256; // of a batch, padding included: a search waits for at most one batch
const MOST_TOKENS = 4096; // of a text; what is longer is cut, and the page says so
const SHOWN = 50; // results of a search
const MANY = 200; // texts for which it pays to try the GPU first

let settings, tokenizer, ort, model, session;
let device = null; // wasm or webgpu, if the page's address asks for it
let where = "wasm"; // what the session computes on
let tried = true; // whether the GPU was tried
let texts = [];
let version = 0; // of the texts
let pending = []; // texts to embed, the next one last
let cut = 0; // texts longer than MOST_TOKENS
let size = { all: 0, done: 0 }; // of the texts to embed, in characters
let query = null; // the text to search for, once more if vectors were added
let answered = true;
let mapped = true;
let ranked = 0; // when the query was last answered
let working = true; // until the model is ready
const vectors = new Map(); // from text to embedding, of unit length

self.onmessage = ({ data }) => {
  if ("device" in data) start(data.device).catch(fail);
  else if (data.texts) take(data.texts, data.version);
  else {
    query = data.query;
    answered = false;
  }
  work();
};

function fail(error) {
  self.postMessage({ failed: String(error?.message ?? error) });
}

async function start(wanted) {
  device = wanted;
  settings = await (await fetch("settings.json")).json();
  const wide = device !== "wasm" && (await hasGpu());
  const runtime = settings.runtimes[wide ? "webgpu" : "wasm"];
  const files = { model: settings.model, tokenizer: settings.tokenizer, binary: runtime.binary };
  const all = Object.values(files).reduce((sum, file) => sum + file.bytes, 0);
  const loaded = {};
  const report = (name) => (bytes) => {
    loaded[name] = bytes;
    self.postMessage({ loading: Math.min(1, Object.values(loaded).reduce((sum, n) => sum + n, 0) / all), all });
  };
  const library = Promise.all([import("./tokenizers.js"), import(runtime.script)]);
  const kept = library.then(() => keep(runtime.script)).catch(() => {});
  const loads = Object.entries(files).map(async ([name, file]) => [name, await load(file, report(name))]);
  const content = Object.fromEntries(await Promise.all(loads));
  self.postMessage({ preparing: true });
  let Tokenizer;
  [{ Tokenizer }, ort] = await library;
  tokenizer = new Tokenizer(JSON.parse(new TextDecoder().decode(content.tokenizer)), {});
  model = new Uint8Array(content.model);
  ort.env.wasm.wasmBinary = content.binary;
  ort.env.wasm.numThreads = self.crossOriginIsolated ? Math.min(4, Math.ceil(navigator.hardwareConcurrency / 2)) : 1;
  session = await open(["wasm"]);
  await check(session);
  tried = !wide;
  if (tried) model = null;
  await kept;
  working = false;
  tellReady();
  work();
}

// WebGPU's build of the runtime also needs WebAssembly that can wait for the GPU.
async function hasGpu() {
  try {
    return "Suspending" in WebAssembly && Boolean(await navigator.gpu?.requestAdapter());
  } catch {
    return false;
  }
}

function tellReady(remark = "") {
  self.postMessage({ ready: { where, threads: ort.env.wasm.numThreads, remark } });
}

// For use without a network: the service worker keeps all other scripts, but not both builds of the runtime.
async function keep(script) {
  const store = await caches.open("files");
  await store.add(new Request(new URL(script, self.location.href), { cache: "force-cache" }));
}

// A file of the site, from this browser's store if it was loaded before. The address holds the content's hash.
async function load({ url, bytes }, report) {
  const address = new URL(url, self.location.href).href;
  const store = await self.caches?.open("files").catch(() => null); // none if the page is not secure
  let body = await (await store?.match(address))?.blob();
  if (!body) {
    const response = await fetch(address).catch(() => null);
    if (!response?.ok) throw new Error(`Could not load ${url.split("/").pop()}. Check the connection and reload the page.`);
    const chunks = [];
    let read = 0;
    for (const reader = response.body.getReader(); ; ) {
      const { done, value } = await reader.read();
      if (done) break;
      chunks.push(value);
      report((read += value.length));
    }
    body = new Blob(chunks);
    await store?.put(address, new Response(body)).catch(() => {}); // no room: the page still works
  }
  report(bytes);
  const [first, second] = new Uint8Array(await body.slice(0, 2).arrayBuffer());
  // Some servers let the browser decompress.
  const packed = first === 0x1f && second === 0x8b;
  const stream = packed ? body.stream().pipeThrough(new DecompressionStream("gzip")) : body;
  return new Response(stream).arrayBuffer();
}

function open(executionProviders) {
  return ort.InferenceSession.create(model, { executionProviders, logSeverityLevel: 3 });
}

// Compares with what the engine computed when the site was built: token ids, then embeddings.
async function check(candidate) {
  const ids = settings.probes.map(({ text }) => tokensOf(text));
  if (settings.probes.some((probe, i) => probe.ids.join() !== ids[i].join())) {
    throw new Error("This browser splits texts into other tokens than the model was made for. Try another browser.");
  }
  // The last is long: padding the others to its length would take seconds.
  const found = [...(await embed(candidate, ids.slice(0, -1))), ...(await embed(candidate, ids.slice(-1)))];
  const least = Math.min(...settings.probes.map((probe, i) => dot(probe.embedding, found[i])));
  if (!(least >= settings.leastCosine)) {
    throw new Error(`This browser computes other embeddings (cosine ${least.toFixed(4)}). Try another browser.`);
  }
}

// Uses the GPU if its embeddings are right and it is quicker, or is asked for.
async function tryGpu() {
  tried = true;
  const ids = settings.probes.slice(0, -1).map(({ text }) => tokensOf(text));
  const batch = Array(4).fill(ids).flat();
  const milliseconds = async (candidate, tokens) => {
    const since = performance.now();
    await embed(candidate, tokens);
    return performance.now() - since;
  };
  try {
    const candidate = await open(["webgpu", "wasm"]);
    await check(candidate);
    const limit = device ? Infinity : await milliseconds(session, batch);
    // A slow GPU is not given the whole batch.
    if ((await milliseconds(candidate, ids)) < limit && (await milliseconds(candidate, batch)) < limit) {
      await session.release();
      [session, where] = [candidate, "webgpu"];
      tellReady("WebGPU is right");
    } else {
      await candidate.release();
      tellReady("WebGPU is right, but slower here");
    }
  } catch (error) {
    tellReady(`WebGPU is not used: ${error?.message ?? error}`);
  }
  model = null;
}

function tokensOf(text) {
  const { ids } = tokenizer.encode(text.toWellFormed?.() ?? text);
  if (ids.length <= MOST_TOKENS) return ids;
  cut += 1;
  return [...ids.slice(0, MOST_TOKENS - 1), ids.at(-1)];
}

// The embeddings of several texts' tokens, computed together.
async function embed(using, tokens) {
  const width = Math.max(...tokens.map((ids) => ids.length));
  const shape = [tokens.length, width];
  const ids = new BigInt64Array(tokens.length * width).fill(BigInt(settings.pad));
  const mask = new BigInt64Array(tokens.length * width);
  tokens.forEach((row, i) => row.forEach((id, j) => {
    ids[i * width + j] = BigInt(id);
    mask[i * width + j] = 1n;
  }));
  const feeds = { [settings.inputs[0]]: new ort.Tensor("int64", ids, shape), [settings.inputs[1]]: new ort.Tensor("int64", mask, shape) };
  const { [settings.output]: output } = await using.run(feeds, [settings.output]);
  return tokens.map((_, i) => output.data.slice(i * settings.hidden, (i + 1) * settings.hidden));
}

function dot(a, b) {
  let sum = 0;
  for (let i = 0; i < b.length; i++) sum += a[i] * b[i];
  return sum;
}

function take(given, number) {
  [texts, version, mapped, answered, cut] = [given, number, false, false, 0];
  const wanted = new Set(texts);
  for (const text of vectors.keys()) if (!wanted.has(text)) vectors.delete(text);
  pending = [...wanted].filter((text) => !vectors.has(text)).sort((a, b) => b.length - a.length);
  size = { all: pending.reduce((sum, text) => sum + text.length, 0), done: 0 };
}

// Does what is most urgent, one piece at a time, and looks for messages in between.
async function work() {
  if (working) return;
  working = true;
  try {
    for (;;) {
      if (!answered) await answer();
      else if (!tried && (!pending.length || pending.length >= MANY)) await tryGpu();
      else if (pending.length) await embedSome();
      else if (!mapped) sendMap();
      else break;
      await new Promise((resolve) => setTimeout(resolve));
    }
  } catch (error) {
    fail(error);
  }
  working = false;
}

async function embedSome() {
  const batch = [];
  const tokens = [];
  while (pending.length) {
    const ids = tokensOf(pending.at(-1));
    const width = Math.max(ids.length, ...tokens.map((row) => row.length));
    if (batch.length && (batch.length + 1) * width > TOKENS_AT_ONCE) break;
    batch.push(pending.pop());
    tokens.push(ids);
  }
  const of = version;
  const found = await embed(session, tokens);
  if (of !== version) return; // the texts were replaced meanwhile; this batch is embedded again if it is still wanted
  batch.forEach((text, i) => vectors.set(text, found[i]));
  size.done += batch.reduce((sum, text) => sum + text.length, 0);
  self.postMessage({ embedded: vectors.size, share: size.all ? size.done / size.all : 1, version, cut });
  if (query && (!pending.length || performance.now() - ranked > 1000)) answered = false;
}

async function answer() {
  answered = true;
  ranked = performance.now();
  const asked = query;
  if (!asked?.trim()) return;
  let vector = vectors.get(asked);
  if (!vector) [vector] = await embed(session, [tokensOf(asked)]);
  const hits = [];
  texts.forEach((text, index) => {
    const found = vectors.get(text);
    if (found) hits.push({ index, score: dot(vector, found) });
  });
  hits.sort((a, b) => b.score - a.score);
  const milliseconds = performance.now() - ranked;
  self.postMessage({ query: asked, hits: hits.slice(0, SHOWN), of: hits.length, version, milliseconds });
}

function sendMap() {
  mapped = true;
  const all = new Float32Array(texts.length * settings.hidden);
  texts.forEach((text, i) => all.set(vectors.get(text), i * settings.hidden));
  self.postMessage({ toMap: { vectors: all, texts, version } }, [all.buffer]);
}
