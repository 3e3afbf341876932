// Keeps the page, its runtime and its weights, so that it works without a network. The build fills in both constants.

const CACHE = `ssdie-${"VERSION"}`;
const FILES = ["FILES"];

self.addEventListener("install", (event) => {
  const keep = async () => {
    const cache = await caches.open(CACHE);
    await cache.addAll(FILES.map((name) => new Request(name, { cache: "no-cache" })));
    await self.skipWaiting();
  };
  event.waitUntil(keep());
});

self.addEventListener("activate", (event) => {
  const replace = async () => {
    const names = await caches.keys();
    await Promise.all(
      names.filter((name) => name.startsWith("ssdie-") && name !== CACHE).map((name) => caches.delete(name)),
    );
    await self.clients.claim();
  };
  event.waitUntil(replace());
});

self.addEventListener("fetch", (event) => {
  if (event.request.method !== "GET" || new URL(event.request.url).origin !== self.location.origin) return;
  const answer = async () => {
    const cache = await caches.open(CACHE);
    const kept = event.request.mode === "navigate" ? "./" : event.request;
    return (await cache.match(kept, { ignoreSearch: true })) ?? fetch(event.request);
  };
  event.respondWith(answer());
});
