// Segments of JPEG files.

import { ascii, concat, startsWith, viewOf } from "./bytes";
import { emptyMetadata, type Metadata } from "./metadata";

const EXIF = "Exif\0\0";
const XMP = "http://ns.adobe.com/xap/1.0/\0";
const ICC = "ICC_PROFILE\0";
const MPF = "MPF\0";
const GAIN_MAP = "urn:iso:std:iso:ts:21496:-1\0";
const [COMMENT, APP0, APP1, APP2, APP11, APP14] = [0xfe, 0xe0, 0xe1, 0xe2, 0xeb, 0xee];
const LARGEST = 65533; // bytes of a segment

interface Segment {
  marker: number;
  start: number; // of the marker
  content: Uint8Array;
}

/** List the segments before the first scan, and the offset of that scan. */
function readSegments(data: Uint8Array): { segments: Segment[]; scan: number } {
  const segments: Segment[] = [];
  const view = viewOf(data);
  let offset = 2;
  while (offset + 4 <= data.length && data[offset] === 0xff) {
    const marker = data[offset + 1];
    if (marker === 0xda) return { segments, scan: offset };
    if (marker === 0xff)
      offset += 1; // a fill byte
    else if ((marker >= 0xd0 && marker <= 0xd9) || marker === 1) offset += 2;
    else {
      const length = Math.max(2, view.getUint16(offset + 2));
      segments.push({ marker, start: offset, content: data.subarray(offset + 4, offset + 2 + length) });
      offset += 2 + length;
    }
  }
  return { segments, scan: data.length };
}

const isMetadata = (marker: number) => (marker >= 0xe0 && marker <= 0xef) || marker === COMMENT;

export function readJpeg(data: Uint8Array): Metadata {
  const metadata = emptyMetadata();
  const profile: Uint8Array[] = [];
  for (const { marker, content } of readSegments(data).segments) {
    if (!isMetadata(marker)) continue;
    if (marker === APP1 && startsWith(content, EXIF)) metadata.exif = content.slice(EXIF.length);
    else if (marker === APP1 && startsWith(content, XMP)) metadata.xmp = content.slice(XMP.length);
    else if (marker === APP2 && startsWith(content, ICC))
      profile[content[ICC.length]] = content.slice(ICC.length + 2);
    else if (marker === APP2 && startsWith(content, GAIN_MAP))
      note(metadata, "The gain map (HDR) is not in the copy.");
    else if (marker === APP11)
      note(metadata, "Content credentials are not in the copy, since they sign the original.");
    else if (marker !== APP14 && !startsWith(content, MPF) && !startsWith(content, "JFXX\0")) {
      metadata.parts.push([marker, content.slice()]);
    }
  }
  if (profile.length > 0) metadata.icc = concat(profile.filter(Boolean));
  return metadata;
}

function note(metadata: Metadata, sentence: string): void {
  if (!metadata.notes.includes(sentence)) metadata.notes.push(sentence);
}

/** Replace the metadata written by the encoder. */
export function writeJpeg(data: Uint8Array, metadata: Metadata): Uint8Array<ArrayBuffer> {
  const { segments, scan } = readSegments(data);
  const kept = segments.filter(({ marker }) => !isMetadata(marker) || marker === APP14);
  const jfif = metadata.parts.filter(([marker]) => marker === APP0);
  const others = metadata.parts.filter(([marker]) => marker !== APP0);
  const head: [number, Uint8Array][] = jfif.map(([, content]) => [APP0, content]);
  if (metadata.exif && metadata.exif.length + EXIF.length <= LARGEST) {
    head.push([APP1, concat([ascii(EXIF), metadata.exif])]);
  }
  if (metadata.xmp && metadata.xmp.length + XMP.length <= LARGEST) {
    head.push([APP1, concat([ascii(XMP), metadata.xmp])]);
  }
  head.push(...profileSegments(metadata.icc));
  head.push(...others.map(([marker, content]): [number, Uint8Array] => [marker as number, content]));
  return concat([
    data.subarray(0, 2),
    ...head.flatMap(([marker, content]) => [header(marker, content.length), content]),
    ...kept.flatMap(({ marker, content }) => [header(marker, content.length), content]),
    data.subarray(scan),
  ]);
}

function header(marker: number, length: number): Uint8Array {
  return Uint8Array.of(0xff, marker, (length + 2) >> 8, (length + 2) & 0xff);
}

function profileSegments(icc: Uint8Array | null): [number, Uint8Array][] {
  const step = LARGEST - ICC.length - 2;
  const count = icc ? Math.ceil(icc.length / step) : 0;
  return Array.from({ length: count }, (_, n) => [
    APP2,
    concat([ascii(ICC), Uint8Array.of(n + 1, count), icc!.subarray(n * step, (n + 1) * step)]),
  ]);
}

/** Whether the picture has an end marker, after which other data may follow. */
export function hasEnd(data: Uint8Array): boolean {
  if (data.length > 2 && data[data.length - 2] === 0xff && data[data.length - 1] === 0xd9) return true;
  const view = viewOf(data);
  let offset = data.indexOf(0xff, readSegments(data).scan);
  while (offset >= 0 && offset + 1 < data.length) {
    const marker = data[offset + 1];
    if (marker === 0xd9) return true;
    if (marker === 0xff) offset += 1;
    else if (marker === 0 || (marker >= 0xd0 && marker <= 0xd7)) offset += 2;
    else if (offset + 4 <= data.length) offset += 2 + Math.max(2, view.getUint16(offset + 2));
    else return false;
    offset = data.indexOf(0xff, offset);
  }
  return false;
}

/** Whether it is a progressive JPEG, in which each scan refines the whole picture. */
export function isProgressive(data: Uint8Array): boolean {
  return readSegments(data).segments.some(({ marker }) => marker === 0xc2);
}
