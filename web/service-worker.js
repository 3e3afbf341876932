// Caches the page, its runtime and its weights for offline use. The build fills in both constants.

const CACHE = `ssdie-${"VERSION"}`;
const FILES = ["FILES"];

self.addEventListener("install", (event) => {
  const fill = async () => {
    const cache = await caches.open(CACHE);
    await cache.addAll(FILES.map((name) => new Request(name, { cache: "no-cache" })));
    await self.skipWaiting();
  };
  event.waitUntil(fill());
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
  const respond = async () => {
    const cache = await caches.open(CACHE);
    const key = event.request.mode === "navigate" ? "./" : event.request;
    return (await cache.match(key, { ignoreSearch: true })) ?? fetch(event.request);
  };
  event.respondWith(respond());
});
