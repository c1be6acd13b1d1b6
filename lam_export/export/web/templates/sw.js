// Keeps the page's small files for use without a network. The worker keeps the large ones (worker.js).
"use strict";
const SHELL = "shell-$version";
const FILES = "files";
const SMALL = $small;
const LARGE = $large;

self.addEventListener("install", (event) => {
  // What the page has just loaded comes from the browser's own cache.
  const requests = SMALL.map((url) => new Request(url, { cache: "force-cache" }));
  event.waitUntil(caches.open(SHELL).then((cache) => cache.addAll(requests)).then(() => self.skipWaiting()));
});

self.addEventListener("activate", (event) => event.waitUntil(tidy().then(() => self.clients.claim())));

async function tidy() {
  const stale = (await caches.keys()).filter((name) => name.startsWith("shell-") && name !== SHELL);
  await Promise.all(stale.map((name) => caches.delete(name)));
  const files = await caches.open(FILES);
  const wanted = new Set(LARGE.map((url) => new URL(url, self.registration.scope).href));
  await Promise.all((await files.keys()).filter(({ url }) => !wanted.has(url)).map((request) => files.delete(request)));
}

self.addEventListener("fetch", (event) => {
  const { request } = event;
  if (request.method === "GET" && request.url.startsWith(self.registration.scope)) event.respondWith(answer(request));
});

// The page itself comes from the network if there is one, so that a new version is seen. All else has the version in its
// address.
async function answer(request) {
  if (request.mode === "navigate") {
    return isolated((await fetch(request).catch(() => caches.match("./"))) ?? Response.error());
  }
  return isolated((await caches.match(request)) ?? (await fetch(request)));
}

// With the first two headers the browser lets WebAssembly use several threads. The third binds the workers too.
function isolated(response) {
  if (response.type === "error" || response.type === "opaqueredirect") return response;
  const headers = new Headers(response.headers);
  headers.set("Cross-Origin-Opener-Policy", "same-origin");
  headers.set("Cross-Origin-Embedder-Policy", "require-corp");
  headers.set("Content-Security-Policy", "$policy");
  return new Response(response.body, { status: response.status, statusText: response.statusText, headers });
}
