// Client of the worker, used by the page.

import type { Analysis, Reply, Request, Saved } from "./protocol";
import type { Repair } from "./renderer";

/** The photo is refused; the message is shown to the user. */
export class Refused extends Error {}

type Without<T> = T extends unknown ? Omit<T, "id"> : never;

export class Client {
  private readonly worker = new Worker(new URL("./worker.ts", import.meta.url), { type: "module" });
  private readonly pending = new Map<number, { resolve: (value: never) => void; reject: (reason: Error) => void }>();
  private lastId = 0;

  constructor(progress: (loaded: number, total: number) => void) {
    this.worker.onmessage = ({ data }: MessageEvent<Reply>) => {
      if ("loaded" in data) {
        progress(data.loaded, data.total);
        return;
      }
      const { resolve, reject } = this.pending.get(data.id)!;
      this.pending.delete(data.id);
      if ("refusal" in data) reject(new Refused(data.refusal));
      else if ("error" in data) reject(new Error(data.error));
      else resolve(data.result as never);
    };
    this.worker.onerror = (event) => {
      for (const { reject } of this.pending.values()) reject(new Error(event.message || "The worker stopped."));
      this.pending.clear();
    };
  }

  private call<T>(request: Without<Request>): Promise<T> {
    const id = ++this.lastId;
    return new Promise<T>((resolve, reject) => {
      this.pending.set(id, { resolve, reject });
      this.worker.postMessage({ ...request, id });
    });
  }

  /** Load runtime and weights. */
  start(): Promise<void> {
    return this.call({ task: "start", base: document.baseURI });
  }

  /** Compute the repair of a photo. */
  analyze(file: Blob, name: string): Promise<Analysis> {
    return this.call({ task: "analyze", file, name });
  }

  /** Decode a photo whose repair is known. */
  open(file: Blob, name: string): Promise<ImageBitmap> {
    return this.call({ task: "open", file, name });
  }

  /** Repair and encode a photo at its full size. */
  save(file: Blob, name: string, repair: Repair, strength: number, lossless: boolean): Promise<Saved> {
    return this.call({ task: "save", file, name, repair, strength, lossless });
  }
}
