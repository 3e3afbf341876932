// Encode a repaired photo as a file with metadata. Runs in the worker.

import { decode, Refusal } from "./decode";
import { patchExif, patchXmp } from "./files/exif";
import { writeMetadata, type Kind, type Metadata } from "./files/metadata";
import type { Request, Saved } from "./protocol";
import { Renderer, type Repair } from "./renderer";

const QUALITY = 0.95;
const TYPES = { JPEG: "image/jpeg", PNG: "image/png", WEBP: "image/webp" } as const;
const STRIP = 2048; // largest side of the pieces that are drawn one at a time, pixels

type Written = keyof typeof TYPES;

let renderer: Renderer | undefined;

/** Repair a photo at its full size and encode it. */
export async function save(request: Extract<Request, { task: "save" }>): Promise<Saved> {
  const { file, name, repair, strength, lossless } = request;
  const { bitmap, kind, metadata, notes } = await decode(file, name);
  const target: Written =
    lossless || (kind === "OTHER" && repair.hasAlpha) ? "PNG" : kind === "OTHER" ? "JPEG" : kind;
  renderer ??= new Renderer(new OffscreenCanvas(1, 1), false);
  await renderer.load(bitmap, repair);
  bitmap.close();
  const canvas = draw(renderer, repair, strength);
  renderer.clear();
  const encoded = await canvas.convertToBlob({ type: TYPES[target], quality: QUALITY });
  const written = (Object.keys(TYPES) as Written[]).find((one) => TYPES[one] === encoded.type);
  if (!written) throw new Refusal("This browser cannot encode the photo. Try another browser.");
  if (written !== target) notes.push(`This browser cannot write ${target} files: the copy is a ${written} file.`);
  const upright = patch(metadata, repair.width, repair.height, notes);
  const content = await writeMetadata(new Uint8Array(await encoded.arrayBuffer()), written, upright, kind);
  return { content: new Blob([content], { type: TYPES[written] }), kind: written as Kind, notes };
}

function patch(metadata: Metadata, width: number, height: number, notes: string[]): Metadata {
  const exif = metadata.exif && patchExif(metadata.exif, width, height);
  if (metadata.exif && !exif) notes.push("Damaged EXIF was dropped.");
  return { ...metadata, exif, xmp: metadata.xmp && patchXmp(metadata.xmp) };
}

/** Draw the repaired photo in pieces that do not exceed the limit of WebGL. */
function draw(source: Renderer, { width, height, hasAlpha }: Repair, strength: number): OffscreenCanvas {
  const canvas = new OffscreenCanvas(width, height);
  const context = canvas.getContext("2d", { alpha: hasAlpha });
  if (!context)
    throw new Refusal(`This browser cannot create an image of ${width} x ${height} pixels. Try another browser.`);
  context.globalCompositeOperation = "copy";
  const side = Math.min(STRIP, source.largestTile);
  const piece = source.canvas;
  for (let top = 0; top < height; top += side) {
    for (let left = 0; left < width; left += side) {
      const size = [Math.min(side, width - left), Math.min(side, height - top)];
      if (piece.width !== size[0] || piece.height !== size[1]) [piece.width, piece.height] = size;
      source.draw({ scale: 1, left: -left, top: -top, divider: 0, strength });
      context.save();
      context.beginPath();
      context.rect(left, top, size[0], size[1]);
      context.clip();
      context.drawImage(piece, left, top);
      context.restore();
    }
  }
  return canvas;
}
