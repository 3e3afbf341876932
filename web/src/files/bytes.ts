// Small helpers for bytes.

export function concat(parts: Uint8Array[]): Uint8Array<ArrayBuffer> {
  const whole = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    whole.set(part, at);
    at += part.length;
  }
  return whole;
}

export function ascii(text: string): Uint8Array {
  return Uint8Array.from(text, (letter) => letter.charCodeAt(0));
}

export function startsWith(data: Uint8Array, text: string, at = 0): boolean {
  if (data.length < at + text.length) return false;
  for (let n = 0; n < text.length; n++) if (data[at + n] !== text.charCodeAt(n)) return false;
  return true;
}

export function viewOf(data: Uint8Array): DataView {
  return new DataView(data.buffer, data.byteOffset, data.byteLength);
}

/** Compress or decompress by the browser's own zlib. */
export async function zlib(data: Uint8Array, direction: "compress" | "decompress"): Promise<Uint8Array> {
  const transform = direction === "compress" ? new CompressionStream("deflate") : new DecompressionStream("deflate");
  const stream = new Blob([data as Uint8Array<ArrayBuffer>]).stream().pipeThrough(transform);
  return new Uint8Array(await new Response(stream).arrayBuffer());
}
