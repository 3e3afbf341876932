// Metadata of photo files: read from the original, written to the repaired copy.

import { readJpeg, writeJpeg } from "./jpeg";
import { readPng, writePng } from "./png";
import { readWebp, writeWebp } from "./webp";

export type Kind = "JPEG" | "PNG" | "WEBP" | "OTHER";

/** Metadata of a photo, as bytes. */
export interface Metadata {
  exif: Uint8Array | null; // from the byte order mark on
  xmp: Uint8Array | null; // a packet
  icc: Uint8Array | null; // a profile
  parts: [number | string, Uint8Array][]; // everything else in the file's own container: markers or chunk names
  notes: string[]; // sentences on what is missing in the copy
  deep: boolean; // more than 8 bit per channel
  frames: boolean; // an animation
  tagged: boolean; // the color space is given by other chunks than a profile
}

export function emptyMetadata(): Metadata {
  return { exif: null, xmp: null, icc: null, parts: [], notes: [], deep: false, frames: false, tagged: false };
}

export async function readMetadata(data: Uint8Array, kind: Kind): Promise<Metadata> {
  if (kind === "JPEG") return readJpeg(data);
  if (kind === "PNG") return readPng(data);
  if (kind === "WEBP") return readWebp(data);
  return emptyMetadata();
}

/** Write metadata into an encoded photo, which may have another format than the original. */
export async function writeMetadata(
  encoded: Uint8Array,
  kind: Kind,
  metadata: Metadata,
  source: Kind,
): Promise<Uint8Array<ArrayBuffer>> {
  const own = source === kind ? metadata : { ...metadata, parts: [] };
  if (kind === "JPEG") return writeJpeg(encoded, own);
  if (kind === "PNG") return writePng(encoded, own);
  return writeWebp(encoded, own);
}
