// The service worker caches the page for offline use.

export function keepOffline(): void {
  if (!import.meta.env.PROD || !("serviceWorker" in navigator)) return;
  navigator.serviceWorker.register("sw.js").catch(() => undefined); // the page works without it, with a network
}
