// File formats, recognized by their first bytes, and messages for files that cannot be repaired here.

import { startsWith } from "./bytes";
import type { Kind } from "./metadata";

const VIDEO_BRANDS = [
  "isom",
  "iso2",
  "iso4",
  "iso5",
  "iso6",
  "mp41",
  "mp42",
  "M4V ",
  "qt  ",
  "avc1",
  "3gp4",
  "3gp5",
  "dash",
];
const HEIF_BRANDS = ["heic", "heix", "heim", "heis", "hevc", "mif1", "msf1"];
const VIDEO_NAMES = /\.(mp4|m4v|mov|mkv|webm|avi|mts|m2ts|3gp|mpe?g|wmv)$/i;
const RAW_NAMES = /\.(dng|cr[23w]|nef|nrw|arw|sr2|orf|rw2|raf|pef|srw|x3f)$/i;

export interface Identity {
  kind: Kind;
  name: string; // in messages
  isVideo: boolean;
}

export function identify(head: Uint8Array, fileName: string): Identity {
  const of = (kind: Kind, name: string, isVideo = false) => ({ kind, name, isVideo });
  if (head[0] === 0xff && head[1] === 0xd8) return of("JPEG", "JPEG");
  if (startsWith(head, "\x89PNG")) return of("PNG", "PNG");
  if (startsWith(head, "RIFF") && startsWith(head, "WEBP", 8)) return of("WEBP", "WebP");
  if (startsWith(head, "RIFF") && startsWith(head, "AVI ", 8)) return of("OTHER", "video", true);
  if (startsWith(head, "GIF8")) return of("OTHER", "GIF");
  if (startsWith(head, "ftyp", 4)) {
    const brand = String.fromCharCode(...head.subarray(8, 12));
    if (VIDEO_BRANDS.includes(brand)) return of("OTHER", "video", true);
    return of("OTHER", HEIF_BRANDS.includes(brand) ? "HEIC" : brand.startsWith("avi") ? "AVIF" : "photo");
  }
  if (startsWith(head, "\x1aE\xdf\xa3")) return of("OTHER", "video", true);
  if (VIDEO_NAMES.test(fileName)) return of("OTHER", "video", true);
  if (RAW_NAMES.test(fileName)) return of("OTHER", "RAW photo");
  if (startsWith(head, "II*\0") || startsWith(head, "MM\0*")) return of("OTHER", "TIFF");
  return of("OTHER", "");
}

/** Explain why a file cannot be read here, and what to do about it. */
export function explainUnreadable(identity: Identity, fileName: string): string {
  const command = `ssdie enhance ${fileName.includes(" ") ? `"${fileName}"` : fileName} -o repaired`;
  if (identity.isVideo)
    return `This is a video, and this page repairs photos only. Use the command line: ${command}`;
  if (["HEIC", "AVIF", "TIFF", "RAW photo"].includes(identity.name)) {
    const remedy =
      identity.name === "HEIC" ? "Open this page in Safari, or use the command line" : "Use the command line";
    return `This browser cannot read ${identity.name} files. ${remedy}: ${command}`;
  }
  if (identity.name) return `This ${identity.name} file is damaged and cannot be read. Choose another copy of it.`;
  return "This file is not a photo, or its format is not supported. Choose a JPEG, PNG or WebP file.";
}

/** Name of the repaired copy: that of the photo, with the suffix of the format written. */
export function copyName(fileName: string, kind: Kind): string {
  const suffixes = { JPEG: /\.(jpe?g|jfif)$/i, PNG: /\.png$/i, WEBP: /\.webp$/i, OTHER: /$/ };
  if (suffixes[kind].test(fileName)) return fileName;
  const stem = fileName.replace(/\.[^.]{1,5}$/, "") || "photo";
  return `${stem}.${{ JPEG: "jpg", PNG: "png", WEBP: "webp", OTHER: "" }[kind]}`;
}
