// Decode a file to an upright bitmap and its pixels. Runs in the worker.

import { spaceOf, type Space } from "./color";
import { hasEnd, isProgressive } from "./files/jpeg";
import { explainUnreadable, identify, type Identity } from "./files/kinds";
import { isPanorama } from "./files/exif";
import { readMetadata, type Kind, type Metadata } from "./files/metadata";
import { turnUpright } from "./orientation";
import type { Pixels } from "./reduce";

const BAND = 512; // rows read at a time: on some phones a canvas of a whole photo is too large
const TOLERATED_LOSS = 0.01; // fraction of the pixels that may be missing at the end
const WITH_METADATA: Kind[] = ["JPEG", "PNG", "WEBP"]; // formats whose metadata are kept

/** The photo is refused; the message is shown to the user. */
export class Refusal extends Error {}

export interface Decoded {
  bitmap: ImageBitmap; // upright; in the photo's own color space if `space` is given, otherwise sRGB
  space: Space | null;
  metadata: Metadata;
  kind: Kind;
  notes: string[]; // sentences on what is missing in the copy
}

export async function decode(file: Blob, name: string): Promise<Decoded> {
  if (file.size === 0) throw new Refusal("This file is empty. Choose another copy of it.");
  const data = new Uint8Array(await file.arrayBuffer());
  const identity = identify(data.subarray(0, 32), name);
  if (identity.isVideo) throw new Refusal(explainUnreadable(identity, name));
  const metadata = await readMetadata(data, identity.kind).catch(() => {
    throw new Refusal(explainUnreadable(identity, name));
  });
  const notes = describe(metadata, identity);
  let source: Blob = file;
  if (identity.kind === "JPEG" && !hasEnd(data)) source = await complete(data);
  const { space, raw } = await findSpace(metadata, notes);
  const bitmap = await createImageBitmap(source, {
    imageOrientation: "from-image",
    premultiplyAlpha: "none",
    colorSpaceConversion: raw ? "none" : "default",
  }).catch(() => {
    throw new Refusal(explainUnreadable(identity, name));
  });
  const upright = await turnUpright(bitmap, identity.kind, metadata);
  return { bitmap: upright, space, metadata, kind: identity.kind, notes };
}

function describe(metadata: Metadata, identity: Identity): string[] {
  const notes = [...metadata.notes];
  if (metadata.deep) notes.push("The copy has 8 bit per channel, the photo has 16.");
  if (metadata.frames || identity.name === "GIF") notes.push("The copy has the first frame of the animation.");
  if (metadata.xmp && isPanorama(metadata.xmp)) {
    notes.push("The panorama may have a visible seam; ssdie enhance repairs panoramas without one.");
  }
  if (!WITH_METADATA.includes(identity.kind))
    notes.push(`The metadata of ${identity.name || "this"} files are not in the copy.`);
  return notes;
}

/** Decide whether values are decoded without conversion (`raw`), and find their color space; null for sRGB. */
async function findSpace(metadata: Metadata, notes: string[]): Promise<{ space: Space | null; raw: boolean }> {
  if (!metadata.icc || metadata.tagged) {
    if (metadata.tagged) metadata.icc = null; // the browser has converted to sRGB
    return { space: null, raw: false };
  }
  const space = spaceOf(metadata.icc);
  if (space && (await decodesRaw())) return { space: space === "srgb" ? null : space, raw: true };
  if (space !== "srgb") {
    metadata.icc = null;
    notes.push("The colors were converted to sRGB.");
  }
  return { space: null, raw: false };
}

let known: Promise<boolean> | undefined;

/** Whether this browser honors `colorSpaceConversion: "none"`. */
function decodesRaw(): Promise<boolean> {
  known ??= (async () => {
    const canvas = new OffscreenCanvas(1, 1);
    const context = canvas.getContext("2d", { colorSpace: "display-p3" });
    const probe = [180, 60, 60];
    if (!context || colorSpaceOf(context) !== "display-p3") return false;
    context.putImageData(
      new ImageData(Uint8ClampedArray.of(...probe, 255), 1, 1, { colorSpace: "display-p3" }),
      0,
      0,
    );
    const photo = await canvas.convertToBlob({ type: "image/png" });
    const bitmap = await createImageBitmap(photo, { colorSpaceConversion: "none" });
    const { data } = readPixels(bitmap);
    return probe.every((value, c) => Math.abs(data[c] - value) <= 1);
  })().catch(() => false);
  return known;
}

function colorSpaceOf(context: OffscreenCanvasRenderingContext2D): string | undefined {
  const described = context as unknown as Partial<CanvasRenderingContext2D>; // missing in TypeScript's type of the context
  return described.getContextAttributes?.().colorSpace;
}

/**
 * Append the end marker that a JPEG lacks.
 *
 * @throws Refusal if more is missing: more than `TOLERATED_LOSS` of the pixels depend on what is appended.
 */
async function complete(data: Uint8Array<ArrayBuffer>): Promise<Blob> {
  if (isProgressive(data)) throw new Refusal("This JPEG is damaged: its end is missing. Choose another copy of it.");
  const end = Uint8Array.of(0xff, 0xd9);
  const filler = new Uint8Array(3 * 4096).map((_, n) => [0x55, 0xb3, 0x2d][n % 3]);
  const views: Pixels[] = [];
  for (const parts of [
    [data, end],
    [data, filler, end],
  ]) {
    const options = { resizeWidth: 256, resizeHeight: 256, resizeQuality: "pixelated" } as const;
    const bitmap = await createImageBitmap(new Blob(parts, { type: "image/jpeg" }), options).catch(() => null);
    if (!bitmap)
      throw new Refusal("This JPEG is damaged: its image data are missing. Choose another copy of it.");
    views.push(readPixels(bitmap));
  }
  let missing = 0;
  for (let at = 0; at < views[0].data.length; at += 4) {
    const differs = [0, 1, 2].some((c) => Math.abs(views[0].data[at + c] - views[1].data[at + c]) > 8);
    missing += Number(differs);
  }
  const fraction = missing / (256 * 256);
  if (fraction > TOLERATED_LOSS) {
    const percent = Math.round(100 * fraction);
    throw new Refusal(
      `This JPEG is damaged: the last ${percent} % of its picture is missing. Choose another copy of it.`,
    );
  }
  return new Blob([data, end], { type: "image/jpeg" });
}

/** Read the pixels of a bitmap. */
export function readPixels(bitmap: ImageBitmap): Pixels {
  const { width, height } = bitmap;
  const data = new Uint8ClampedArray(4 * width * height);
  const canvas = new OffscreenCanvas(width, Math.min(BAND, height));
  const context = canvas.getContext("2d", { willReadFrequently: true })!;
  context.globalCompositeOperation = "copy";
  for (let top = 0; top < height; top += BAND) {
    const rows = Math.min(BAND, height - top);
    context.drawImage(bitmap, 0, -top);
    data.set(context.getImageData(0, 0, width, rows).data, 4 * width * top);
  }
  return { data, width, height };
}

/** Whether any pixel is transparent. */
export function hasAlpha({ data }: Pixels): boolean {
  for (let at = 3; at < data.length; at += 4) if (data[at] !== 255) return true;
  return false;
}
