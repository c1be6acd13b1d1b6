// Draws the map on a canvas, and tells which dot is pointed at.
const COLOURS = ["#4c78d8", "#e0793a", "#2fa36b", "#c9485b", "#8a63d2", "#b58a1f", "#1f9fb5", "#d165a9", "#7a8a2f"];
const REACH = 18; // pixels from the pointer to a dot
const MARGIN = 28;
const LABEL = 22; // characters
const COVERED = 1; // dots that a label may cover
const SQUARE = 2.5; // pixels: smaller dots are drawn as squares, which is quicker

export class TextMap {
  constructor(box, choose) {
    this.box = box;
    this.canvas = box.querySelector("canvas");
    this.tip = box.querySelector("#tip");
    this.clear();
    new ResizeObserver(() => this.draw()).observe(box);
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.draw());
    this.canvas.addEventListener("pointermove", (event) => this.point(event));
    this.canvas.addEventListener("pointerleave", () => this.mark(-1));
    this.canvas.addEventListener("click", (event) => {
      // A click's place is rounded: at the edge of its reach, the dot that is marked would be missed.
      if (this.marked < 0) this.point(event);
      if (this.marked >= 0) choose(this.texts[this.marked]);
    });
  }

  clear() {
    Object.assign(this, { texts: [], places: [], groups: null, labels: [], hits: [], marked: -1 });
    this.draw();
  }

  // Texts with their places: x and y of each, from -1 to 1.
  show(texts, places, groups = null, labels = []) {
    Object.assign(this, { texts, places, groups, labels });
    this.draw();
  }

  // Dots that stand out: indices of texts, the best first.
  light(hits) {
    this.hits = hits;
    this.draw();
  }

  mark(index) {
    this.marked = index;
    this.draw();
    const { tip } = this;
    tip.hidden = index < 0;
    if (index < 0) return;
    const text = this.texts[index];
    tip.textContent = text.length > 240 ? `${text.slice(0, 240)}…` : text;
    const [x, y] = this.at(index);
    tip.style.left = `${Math.max(8, Math.min(x - tip.offsetWidth / 2, this.box.clientWidth - tip.offsetWidth - 8))}px`;
    tip.style.top = `${y > tip.offsetHeight + 16 ? y - tip.offsetHeight - 12 : y + 14}px`;
  }

  at(index) {
    const { clientWidth, clientHeight } = this.box;
    const across = clientWidth / 2 - MARGIN;
    const down = clientHeight / 2 - MARGIN;
    return [clientWidth / 2 + this.places[2 * index] * across, clientHeight / 2 - this.places[2 * index + 1] * down];
  }

  point(event) {
    let [nearest, least] = [-1, REACH ** 2];
    this.texts.forEach((_, i) => {
      const [x, y] = this.at(i);
      const apart = (x - event.offsetX) ** 2 + (y - event.offsetY) ** 2;
      if (apart < least) [nearest, least] = [i, apart];
    });
    if (nearest !== this.marked) this.mark(nearest);
  }

  // Draws at most once for each frame of the screen.
  draw() {
    this.frame ??= requestAnimationFrame(() => {
      this.frame = null;
      this.paint();
    });
  }

  paint() {
    const { canvas, box, texts } = this;
    const ratio = devicePixelRatio;
    canvas.width = box.clientWidth * ratio;
    canvas.height = box.clientHeight * ratio;
    const pen = canvas.getContext("2d");
    pen.scale(ratio, ratio);
    const style = getComputedStyle(document.body);
    const colour = (name) => style.getPropertyValue(name).trim();
    const radius = Math.max(2, Math.min(6.5, 60 / Math.sqrt(texts.length + 1)));
    const rank = new Map(this.hits.map((index, i) => [index, i]));
    const dot = (i, size, alpha) => {
      const [x, y] = this.at(i);
      pen.globalAlpha = alpha;
      pen.fillStyle = COLOURS[(this.groups?.[i] ?? 0) % COLOURS.length];
      if (size < SQUARE) return pen.fillRect(x - size, y - size, 2 * size, 2 * size);
      pen.beginPath();
      pen.arc(x, y, size, 0, 2 * Math.PI);
      pen.fill();
    };
    texts.forEach((_, i) => rank.has(i) || dot(i, radius, rank.size ? 0.22 : 0.85));
    for (const [index, i] of [...rank].reverse()) {
      if (index >= texts.length) continue;
      dot(index, radius + (i === 0 ? 5 : 2.5), 1);
      pen.lineWidth = i === 0 ? 3 : 1.5;
      pen.strokeStyle = colour("--ink");
      pen.stroke();
    }
    if (this.marked >= 0 && this.marked < texts.length) {
      dot(this.marked, radius + 4, 1);
      pen.lineWidth = 3;
      pen.strokeStyle = colour("--accent");
      pen.stroke();
    }
    if (!rank.size) this.write(pen, colour, radius);
  }

  // The labels: texts beside their dots, where they cover few dots and not each other.
  write(pen, colour, radius) {
    pen.globalAlpha = 1;
    pen.font = "600 12px system-ui, sans-serif";
    pen.lineJoin = "round";
    pen.lineWidth = 3;
    pen.strokeStyle = colour("--ground");
    pen.fillStyle = colour("--ink");
    const { clientWidth, clientHeight } = this.box;
    const dots = this.texts.map((_, i) => this.at(i));
    const taken = [];
    for (const index of this.labels) {
      const text = this.texts[index];
      const label = text.length > LABEL ? `${text.slice(0, LABEL).trimEnd()}…` : text;
      const width = pen.measureText(label).width;
      const [middle, y] = dots[index];
      const beside = radius + 6;
      const left = middle - width / 2;
      const found = [[left, y - 12], [left, y + 22], [middle + beside, y + 4], [middle - width - beside, y + 4]]
        .filter(([x, base]) => x > 6 && x + width < clientWidth - 6 && base > 14 && base < clientHeight - 6)
        .filter(([x, base]) => !taken.some(
          ([u, v, wide]) => x < u + wide + 8 && u < x + width + 8 && Math.abs(base - v) < 16))
        .map(([x, base]) => [x, base, dots.filter(([u, v]) =>
          u > x - radius && u < x + width + radius && v > base - 12 - radius && v < base + 4 + radius).length])
        .sort((one, other) => one[2] - other[2])[0];
      if (!found || found[2] > COVERED) continue;
      const [x, base] = found;
      taken.push([x, base, width]);
      pen.strokeText(label, x, base);
      pen.fillText(label, x, base);
    }
  }
}
