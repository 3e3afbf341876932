// Messages between the page and its worker.

import type { Kind } from "./files/metadata";
import type { Repair } from "./renderer";

export type Request =
  | { id: number; task: "start"; base: string }
  | { id: number; task: "analyze"; file: Blob; name: string }
  | { id: number; task: "open"; file: Blob; name: string }
  | { id: number; task: "save"; file: Blob; name: string; repair: Repair; strength: number; lossless: boolean };

export interface Analysis {
  repair: Repair;
  notes: string[];
  thumbnail: ImageBitmap;
  bitmap: ImageBitmap;
}

export interface Saved {
  content: Blob;
  kind: Kind;
  notes: string[];
}

export type Reply =
  | { id: number; result: unknown }
  | { id: number; refusal: string }
  | { id: number; error: string }
  | { id: -1; loaded: number; total: number };
