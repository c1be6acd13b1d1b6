// The page: takes texts and queries, gives them to the workers, and shows what comes back.
import { TextMap } from "./map.js";
import { tableOf, textsOf } from "./reading.js";

const at = (id) => document.getElementById(id);
const [status, loading, alert, texts, count, embedding, query, hits, hint, took, mapState] = [
  "status", "loading", "alert", "texts", "count", "embedding", "query", "hits", "hint", "took", "map-state",
].map(at);
const map = new TextMap(at("map"), search);
const plural = (n, noun) => `${n.toLocaleString()} ${noun}${n === 1 ? "" : "s"}`;

let given = []; // the texts, a line each
let version = 0; // of the texts; answers about older ones are dropped
let left = ""; // a remark on what was left out
let table = null; // the file that is open

// ---- the workers

const worker = new Worker(new URL("worker.js", import.meta.url));
const layout = new Worker(new URL("layout.js", import.meta.url));
worker.onerror = layout.onerror = (event) => fail(event.message ?? "A file of the page could not be loaded. Reload the page.");

worker.onmessage = ({ data }) => {
  if ("loading" in data) {
    loading.value = data.loading;
    status.textContent = `Loading the model: ${Math.round(100 * data.loading)}% of ${(data.all / 1e6).toFixed(0)} MB`;
  } else if (data.preparing) {
    loading.removeAttribute("value");
    status.textContent = "Preparing the model…";
  } else if (data.ready) {
    loading.hidden = true;
    status.className = "ready";
    const { where, threads, remark } = data.ready;
    status.title = remark;
    status.textContent = `Ready, computes on ${where === "webgpu" ? "the GPU" : `the processor${threads > 1 ? `, ${threads} threads` : ""}`}`;
  } else if (data.failed) fail(data.failed);
  else if (data.version !== version && !data.toMap) return;
  else if ("embedded" in data) showEmbedded(data);
  else if (data.hits) showHits(data);
  else if (data.toMap?.version === version) {
    layout.postMessage(data.toMap, [data.toMap.vectors.buffer]);
    mapState.textContent = "drawing…";
  }
};

layout.onmessage = ({ data }) => {
  if (data.version !== version) return;
  map.show(given, data.places, data.groups, data.labels);
  mapState.textContent = data.share < 1 ? `drawing… ${Math.round(100 * data.share)}%` : plural(given.length, "text");
};

function fail(message) {
  alert.textContent = message;
  alert.hidden = false;
  loading.hidden = true;
  status.className = "";
  status.textContent = "Not ready";
}

// ---- texts

function takeTexts() {
  ({ texts: given, left } = textsOf(texts.value));
  version += 1;
  map.clear();
  mapState.textContent = "";
  hits.replaceChildren();
  embedding.classList.toggle("idle", !given.length);
  embedding.value = 0;
  count.textContent = given.length ? plural(given.length, "text") + left : `no texts yet${left}`;
  worker.postMessage({ texts: given, version });
}

function showEmbedded({ embedded, share, cut }) {
  embedding.value = share;
  embedding.classList.toggle("idle", share >= 1);
  const long = cut ? `; ${plural(cut, "long text")} cut` : "";
  const done = share < 1 ? `${embedded.toLocaleString()} of ` : "";
  count.textContent = done + plural(given.length, "text") + left + long;
}

function setTexts(value) {
  texts.value = value;
  takeTexts();
}

let typing;
texts.addEventListener("input", () => {
  closeTable();
  clearTimeout(typing);
  typing = setTimeout(takeTexts, 350);
});

at("file").addEventListener("change", ({ target }) => {
  if (target.files.length) openFile(target.files[0]);
  target.value = "";
});
at("clear").addEventListener("click", () => {
  closeTable();
  setTexts("");
  texts.focus();
});
at("example").addEventListener("click", showExample);
for (const kind of ["dragover", "dragleave", "drop"]) {
  texts.addEventListener(kind, (event) => {
    texts.classList.toggle("over", kind === "dragover");
    if (kind === "dragleave" || ![...event.dataTransfer.types].includes("Files")) return;
    event.preventDefault();
    if (kind === "drop") openFile(event.dataTransfer.files[0]);
  });
}

async function openFile(file) {
  alert.hidden = true;
  try {
    table = await tableOf(file);
  } catch (error) {
    alert.textContent = error.message;
    alert.hidden = false;
    return;
  }
  at("column").replaceChildren(...table.names.map((name, i) => new Option(name, i)));
  at("column").value = table.chosen;
  at("column-label").hidden = table.names.length < 2;
  showColumn();
}

function showColumn() {
  setTexts(table.columns[at("column").value].join("\n"));
}
at("column").addEventListener("change", showColumn);

function closeTable() {
  table = null;
  at("column-label").hidden = true;
}

async function showExample() {
  closeTable();
  setTexts(await (await fetch(new URL("example.txt", import.meta.url))).text());
}

// ---- search

function search(text) {
  query.value = text;
  ask();
}

function ask() {
  const text = query.value;
  worker.postMessage({ query: text });
  if (!text.trim()) {
    hits.replaceChildren();
    took.textContent = "";
    hint.hidden = false;
    map.light([]);
  }
}
query.addEventListener("input", ask);

function showHits({ query: asked, hits: found, of, milliseconds }) {
  if (asked !== query.value) return; // a later query is on its way
  hint.hidden = true;
  took.textContent = `${plural(of, "text")} in ${Math.max(1, Math.round(milliseconds))} ms`;
  const focused = [...hits.children].findIndex((item) => item.contains(document.activeElement));
  hits.replaceChildren(...found.map(hitOf));
  hits.children[focused]?.firstChild.focus();
  hits.scrollTop = 0;
  map.light(found.slice(0, 10).map(({ index }) => index));
}

function hitOf({ index, score }) {
  const make = (tag, properties) => Object.assign(document.createElement(tag), properties);
  const item = make("li");
  const button = make("button", { type: "button", title: "Search for texts like this" });
  const figure = make("span", { className: "score", textContent: score.toFixed(3) });
  const bar = make("i");
  bar.style.width = `${100 * Math.max(0, score)}%`;
  figure.append(bar);
  button.append(make("span", { className: "text", textContent: given[index] }), figure);
  button.addEventListener("click", () => {
    search(given[index]);
    query.focus();
  });
  for (const [kind, marked] of [["focus", index], ["pointerenter", index], ["blur", -1], ["pointerleave", -1]]) {
    button.addEventListener(kind, () => map.places.length && map.mark(marked));
  }
  item.append(button);
  return item;
}

document.addEventListener("keydown", (event) => {
  const inside = document.activeElement;
  const walking = inside === query || hits.contains(inside);
  if (event.key === "/" && !["INPUT", "TEXTAREA", "SELECT"].includes(inside.tagName)) query.focus();
  else if (event.key === "Escape" && walking) {
    search("");
    query.focus();
  } else if (event.key === "ArrowDown" && walking) {
    (inside === query ? hits.firstChild : inside.parentElement.nextSibling)?.firstChild.focus();
  } else if (event.key === "ArrowUp" && hits.contains(inside)) {
    (inside.parentElement.previousSibling?.firstChild ?? query).focus();
  } else return;
  event.preventDefault();
});

// ---- start

worker.postMessage({ device: new URLSearchParams(location.search).get("device") });
texts.disabled = false;
embedding.classList.add("idle");
navigator.serviceWorker?.register("./sw.js").catch(() => {}); // without it the page needs the network each time
showExample();
