// The network at the working size, run by ONNX Runtime in WebAssembly. Runs in the worker.
//
// One thread: more threads need cross-origin isolation, by headers that plain web servers do not send. WebGPU is not
// used: its runtime is larger than the rest of the page, and the input of the network has only 128 pixels a side.

import * as ort from "onnxruntime-web/wasm";
import runtimeUrl from "onnxruntime-web/ort-wasm-simd-threaded.wasm?url";
import type { Small } from "./reduce";

const WEIGHTS = "msff.onnx"; // beside the page

export interface Correction {
  maps: Float32Array;
  dust: number | null; // dust score: 0 no dust, 1 dense dust; null if the network has no such output
}

export type Progress = (loaded: number, total: number) => void;

export class Engine {
  private constructor(private readonly session: ort.InferenceSession) {}

  static async load(base: string, progress: Progress): Promise<Engine> {
    const [runtime, weights] = await fetchAll(
      [new URL(runtimeUrl, base).href, new URL(WEIGHTS, base).href],
      progress,
    );
    ort.env.wasm.numThreads = 1;
    ort.env.wasm.wasmBinary = runtime.buffer;
    // `ssdie export` has optimised the graph already.
    const options = { executionProviders: ["wasm"], graphOptimizationLevel: "disabled" } as const;
    return new Engine(await ort.InferenceSession.create(weights, options));
  }

  async correct(small: Small): Promise<Correction> {
    const { data, width, height } = small;
    const planes = new Float32Array(3 * width * height);
    for (let n = 0; n < width * height; n++) {
      for (let c = 0; c < 3; c++) planes[c * width * height + n] = data[3 * n + c];
    }
    const outputs = await this.session.run({
      photo: new ort.Tensor("float32", planes, [1, 3, height, width]),
      postprocess: new ort.Tensor("float32", [1], []),
    });
    const dust = outputs.dust ? Number(outputs.dust.data[0]) : null;
    return { maps: Float32Array.from(outputs.maps.data as Float32Array), dust };
  }
}

/** Fetch files concurrently, and report the number of bytes received. */
async function fetchAll(addresses: string[], progress: Progress): Promise<Uint8Array<ArrayBuffer>[]> {
  const loaded = addresses.map(() => 0);
  const totals = addresses.map(() => 0);
  return Promise.all(
    addresses.map(async (address, index) => {
      const response = await fetch(address);
      if (!response.ok || !response.body) throw new Error(`${address} cannot be loaded (status ${response.status}).`);
      totals[index] = Number(response.headers.get("Content-Length") ?? 0);
      const parts: Uint8Array[] = [];
      for (const reader = response.body.getReader(); ;) {
        const { done, value } = await reader.read();
        if (done) break;
        parts.push(value);
        loaded[index] += value.length;
        if (totals.every((total) => total > 0)) {
          progress(
            loaded.reduce((a, b) => a + b, 0),
            totals.reduce((a, b) => a + b, 0),
          );
        }
      }
      const whole = new Uint8Array(loaded[index]);
      parts.reduce((at, part) => (whole.set(part, at), at + part.length), 0);
      return whole;
    }),
  );
}
