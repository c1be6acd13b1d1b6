"use strict";
// This script only adds comfort: the page says the same without it.

// Sortable tables. Each header becomes a button, so that the keyboard can reach it.
for (const table of document.querySelectorAll("table.sortable")) {
  const body = table.tBodies[0];
  for (const header of table.tHead.rows[0].cells) {
    const button = document.createElement("button");
    button.type = "button";
    button.append(...header.childNodes);
    header.append(button);
    button.addEventListener("click", () => {
      const up = header.getAttribute("aria-sort") !== "ascending";
      for (const other of table.tHead.rows[0].cells) other.removeAttribute("aria-sort");
      header.setAttribute("aria-sort", up ? "ascending" : "descending");
      const value = (row) => {
        const cell = row.cells[header.cellIndex];
        if (cell.dataset.value === undefined) return cell.textContent;
        const number = Number(cell.dataset.value);
        return Number.isNaN(number) ? -Infinity : number; // a cosine of NaN sorts as the worst
      };
      const order = (a, b) => (typeof a === "string" ? a.localeCompare(b) : a === b ? 0 : a < b ? -1 : 1);
      body.append(...[...body.rows].sort((a, b) => (up ? 1 : -1) * order(value(a), value(b))));
    });
  }
}

// Tips: show what the dot or bar under the pointer or finger stands for.
const REACH = 14; // units of the drawing
const tip = document.getElementById("tip");
const starts = JSON.parse(document.getElementById("starts").textContent);

function marksOf(drawing) {
  const marks = [];
  for (const path of drawing.querySelectorAll(".points")) {
    const tips = JSON.parse(path.dataset.tips);
    const texts = path.dataset.texts ? path.dataset.texts.split(" ").map(Number) : [];
    [...path.getAttribute("d").matchAll(/M(\S+) (\S+?)h0/g)].forEach(([, x, y], i) => {
      const start = i in texts ? "\n" + (starts[texts[i]] ?? `text ${texts[i] + 1}`) : "";
      marks.push({ x: Number(x), y: Number(y), says: tips[i] + start });
    });
  }
  return marks;
}

for (const drawing of document.querySelectorAll("svg[role=img]")) {
  const ring = document.createElementNS("http://www.w3.org/2000/svg", "circle");
  ring.setAttribute("class", "here");
  ring.setAttribute("r", "0");
  drawing.append(ring);
  let marks = null;

  const hide = () => {
    tip.hidden = true;
    ring.setAttribute("r", "0");
  };
  const show = (event) => {
    marks ??= marksOf(drawing);
    const at = new DOMPoint(event.clientX, event.clientY).matrixTransform(drawing.getScreenCTM().inverse());
    let nearest = null;
    let distance = REACH;
    for (const mark of marks) {
      const away = Math.hypot(mark.x - at.x, mark.y - at.y);
      if (away < distance) [nearest, distance] = [mark, away];
    }
    const bar = event.target.closest(".bar");
    if (!nearest && !bar) return hide();
    if (nearest) {
      ring.setAttribute("cx", nearest.x);
      ring.setAttribute("cy", nearest.y);
    }
    ring.setAttribute("r", nearest ? "5" : "0");
    tip.textContent = nearest ? nearest.says : bar.dataset.tip;
    tip.hidden = false;
    const box = tip.getBoundingClientRect();
    tip.style.left = `${Math.max(4, Math.min(event.clientX + 12, innerWidth - box.width - 4))}px`;
    tip.style.top = `${event.clientY > box.height + 16 ? event.clientY - box.height - 12 : event.clientY + 16}px`;
  };
  drawing.addEventListener("pointermove", show);
  drawing.addEventListener("pointerdown", show);
  drawing.addEventListener("pointerleave", hide);
}

// Paper cannot be unfolded, so everything is opened before printing.
const closed = new Set();
addEventListener("beforeprint", () => {
  for (const details of document.querySelectorAll("details:not([open])")) {
    closed.add(details);
    details.open = true;
  }
});
addEventListener("afterprint", () => {
  for (const details of closed) details.open = false;
  closed.clear();
});
