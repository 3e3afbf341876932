// Chunks of PNG files.

import { ascii, concat, startsWith, viewOf, zlib } from "./bytes";
import { emptyMetadata, type Metadata } from "./metadata";

const XMP = "XML:com.adobe.xmp\0";
// chunks that belong to the pixels of the original, or to its frames
const PIXELS = ["IHDR", "PLTE", "IDAT", "IEND", "tRNS", "hIST", "sPLT", "bKGD", "sBIT", "acTL", "fcTL", "fdAT"];
const COLORS = ["cICP", "gAMA", "cHRM", "mDCV", "cLLI"];

interface Chunk {
  name: string;
  content: Uint8Array;
}

function readChunks(data: Uint8Array): Chunk[] {
  const chunks: Chunk[] = [];
  const view = viewOf(data);
  for (let offset = 8; offset + 12 <= data.length;) {
    const length = view.getUint32(offset);
    const name = String.fromCharCode(...data.subarray(offset + 4, offset + 8));
    const content = data.subarray(offset + 8, offset + 8 + length);
    if (content.length < length) break;
    chunks.push({ name, content });
    offset += 12 + length;
  }
  return chunks;
}

export async function readPng(data: Uint8Array): Promise<Metadata> {
  const metadata = emptyMetadata();
  for (const { name, content } of readChunks(data)) {
    if (name === "IHDR") metadata.deep = content[8] === 16;
    if (name === "acTL") metadata.frames = true;
    if (name === "cICP" || name === "gAMA") metadata.tagged = true;
    if (PIXELS.includes(name) || COLORS.includes(name)) continue;
    if (name === "eXIf") metadata.exif = content.slice();
    else if (name === "iCCP") metadata.icc = await unpack(content, content.indexOf(0) + 2);
    else if (name === "iTXt" && startsWith(content, XMP)) metadata.xmp = await textOf(content);
    else metadata.parts.push([name, content.slice()]);
  }
  if (metadata.parts.some(([name]) => name === "sRGB")) metadata.tagged = false;
  return metadata;
}

async function unpack(content: Uint8Array, start: number): Promise<Uint8Array | null> {
  try {
    return await zlib(content.subarray(start), "decompress");
  } catch {
    return null; // damaged: ignored
  }
}

/** Text of an iTXt chunk, decompressed if necessary. */
async function textOf(content: Uint8Array): Promise<Uint8Array | null> {
  const flags = content.indexOf(0) + 1;
  const language = content.indexOf(0, flags + 2) + 1;
  const start = content.indexOf(0, language) + 1;
  return content[flags] ? unpack(content, start) : content.slice(start);
}

/** Replace the metadata written by the encoder. */
export async function writePng(data: Uint8Array, metadata: Metadata): Promise<Uint8Array<ArrayBuffer>> {
  const early: Chunk[] = metadata.parts.map(([name, content]) => ({ name: String(name), content }));
  if (metadata.icc)
    early.push({ name: "iCCP", content: concat([ascii("icc\0\0"), await zlib(metadata.icc, "compress")]) });
  if (metadata.exif) early.push({ name: "eXIf", content: metadata.exif });
  if (metadata.xmp) early.push({ name: "iTXt", content: concat([ascii(`${XMP}\0\0\0\0`), metadata.xmp]) });
  const [header, ...rest] = readChunks(data).filter(({ name }) => PIXELS.includes(name));
  return concat([data.subarray(0, 8), ...[header, ...early, ...rest].map(encodeChunk)]);
}

function encodeChunk({ name, content }: Chunk): Uint8Array {
  const chunk = concat([new Uint8Array(4), ascii(name), content, new Uint8Array(4)]);
  const view = viewOf(chunk);
  view.setUint32(0, content.length);
  view.setUint32(chunk.length - 4, crc32(chunk.subarray(4, -4)));
  return chunk;
}

const TABLE = Uint32Array.from({ length: 256 }, (_, n) => {
  for (let k = 0; k < 8; k++) n = n & 1 ? 0xedb88320 ^ (n >>> 1) : n >>> 1;
  return n >>> 0;
});

export function crc32(data: Uint8Array): number {
  let crc = 0xffffffff;
  for (let n = 0; n < data.length; n++) crc = TABLE[(crc ^ data[n]) & 0xff] ^ (crc >>> 8);
  return (crc ^ 0xffffffff) >>> 0;
}
