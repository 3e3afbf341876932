// Chunks of WebP files.

import { ascii, concat, startsWith, viewOf } from "./bytes";
import { emptyMetadata, type Metadata } from "./metadata";

const PIXELS = ["VP8 ", "VP8L", "ALPH"];
const [HAS_PROFILE, HAS_ALPHA, HAS_EXIF, HAS_XMP, HAS_FRAMES] = [0x20, 0x10, 0x08, 0x04, 0x02];

function readChunks(data: Uint8Array): [string, Uint8Array][] {
  const chunks: [string, Uint8Array][] = [];
  const view = viewOf(data);
  for (let offset = 12; offset + 8 <= data.length;) {
    const length = view.getUint32(offset + 4, true);
    const name = String.fromCharCode(...data.subarray(offset, offset + 4));
    chunks.push([name, data.subarray(offset + 8, offset + 8 + length)]);
    offset += 8 + length + (length & 1);
  }
  return chunks;
}

export function readWebp(data: Uint8Array): Metadata {
  const metadata = emptyMetadata();
  for (const [name, content] of readChunks(data)) {
    if (name === "EXIF") metadata.exif = content.slice(startsWith(content, "Exif\0\0") ? 6 : 0);
    if (name === "XMP ") metadata.xmp = content.slice();
    if (name === "ICCP") metadata.icc = content.slice();
    if (name === "VP8X") metadata.frames = (content[0] & HAS_FRAMES) !== 0;
  }
  return metadata;
}

/** Replace the metadata written by the encoder. */
export function writeWebp(data: Uint8Array, metadata: Metadata): Uint8Array<ArrayBuffer> {
  const { exif, xmp, icc } = metadata;
  const chunks = readChunks(data);
  const pixels = chunks.filter(([name]) => PIXELS.includes(name));
  if (!exif && !xmp && !icc && pixels.length === chunks.length) return data.slice();
  const known = chunks.find(([name]) => name === "VP8X")?.[1];
  const head = known ? known.slice() : describe(pixels[pixels.length - 1]);
  head[0] = (head[0] & HAS_ALPHA) | (icc ? HAS_PROFILE : 0) | (exif ? HAS_EXIF : 0) | (xmp ? HAS_XMP : 0);
  const all: [string, Uint8Array | null][] = [
    ["VP8X", head],
    ["ICCP", icc],
    ...pixels,
    ["EXIF", exif],
    ["XMP ", xmp],
  ];
  const body = concat(all.flatMap(([name, content]) => (content ? [encodeChunk(name, content)] : [])));
  const start = ascii("RIFF\0\0\0\0WEBP");
  viewOf(start).setUint32(4, body.length + 4, true);
  return concat([start, body]);
}

/** Make the VP8X header of a picture that was encoded without one. */
function describe([name, content]: [string, Uint8Array]): Uint8Array {
  const view = viewOf(content);
  let [width, height, alpha] = [0, 0, 0];
  if (name === "VP8L") {
    const bits = view.getUint32(1, true);
    [width, height, alpha] = [bits & 0x3fff, (bits >>> 14) & 0x3fff, (bits >>> 28) & 1];
  } else {
    [width, height] = [(view.getUint16(6, true) & 0x3fff) - 1, (view.getUint16(8, true) & 0x3fff) - 1];
  }
  const head = new Uint8Array(10);
  const out = viewOf(head);
  head[0] = alpha ? HAS_ALPHA : 0;
  out.setUint16(4, width & 0xffff, true);
  head[6] = width >> 16;
  out.setUint16(7, height & 0xffff, true);
  head[9] = height >> 16;
  return head;
}

function encodeChunk(name: string, content: Uint8Array): Uint8Array {
  const head = concat([ascii(name), new Uint8Array(4)]);
  viewOf(head).setUint32(4, content.length, true);
  return concat([head, content, new Uint8Array(content.length & 1)]);
}
