// EXIF blocks, patched in place: all other bytes keep their positions, so that offsets in maker notes stay valid.

const ORIENTATION = 0x0112;
const EXIF_DIRECTORY = 0x8769;
const THUMBNAIL = 0x0201;
const THUMBNAIL_LENGTH = 0x0202;
const WIDTHS = [0x0100, 0xa002];
const HEIGHTS = [0x0101, 0xa003];
const [SHORT, LONG] = [3, 4];

/** A directory of tags: positions of its entries, and of the offset of the next directory. */
interface Directory {
  entries: Map<number, number>;
  nextOffset: number;
}

class TagBlock {
  private readonly view: DataView;
  private readonly little: boolean;

  constructor(readonly data: Uint8Array) {
    this.view = new DataView(data.buffer, data.byteOffset, data.byteLength);
    const mark = this.view.getUint16(0);
    if (mark !== 0x4949 && mark !== 0x4d4d) throw new RangeError("no byte order mark");
    this.little = mark === 0x4949;
    if (this.view.getUint16(2, this.little) !== 42) throw new RangeError("no TIFF header");
  }

  long(offset: number): number {
    return this.view.getUint32(offset, this.little);
  }

  setLong(offset: number, value: number): void {
    this.view.setUint32(offset, value, this.little);
  }

  directory(start: number): Directory {
    const count = this.view.getUint16(start, this.little);
    const entries = new Map<number, number>();
    for (let n = 0; n < count; n++) {
      const offset = start + 2 + 12 * n;
      entries.set(this.view.getUint16(offset, this.little), offset);
    }
    return { entries, nextOffset: start + 2 + 12 * count };
  }

  /** Value of a tag with a single number; 0 if it is missing. */
  number(directory: Directory, tag: number): number {
    const offset = directory.entries.get(tag);
    if (offset === undefined) return 0;
    const type = this.view.getUint16(offset + 2, this.little);
    return type === SHORT ? this.view.getUint16(offset + 8, this.little) : type === LONG ? this.long(offset + 8) : 0;
  }

  setNumber(directory: Directory, tag: number, value: number): void {
    const offset = directory.entries.get(tag);
    if (offset === undefined || this.long(offset + 4) !== 1) return;
    const type = this.view.getUint16(offset + 2, this.little);
    if (type === SHORT) this.view.setUint16(offset + 8, value, this.little);
    if (type === LONG) this.setLong(offset + 8, value);
  }
}

/** Orientation, 1 to 8; 1 if it is missing. */
export function readOrientation(exif: Uint8Array): number {
  try {
    const block = new TagBlock(exif);
    return block.number(block.directory(block.long(4)), ORIENTATION) || 1;
  } catch (error) {
    if (error instanceof RangeError) return 1;
    throw error;
  }
}

/**
 * Set orientation and sizes to those of an upright photo, and remove the thumbnail of the original.
 *
 * @returns a block of the same length; null for a damaged one.
 */
export function patchExif(exif: Uint8Array, width: number, height: number): Uint8Array | null {
  const patched = exif.slice();
  try {
    const block = new TagBlock(patched);
    const first = block.directory(block.long(4));
    block.setNumber(first, ORIENTATION, 1);
    const directories = [first];
    const details = block.number(first, EXIF_DIRECTORY);
    if (details && details < patched.length - 2) directories.push(block.directory(details));
    for (const directory of directories) {
      for (const tag of WIDTHS) block.setNumber(directory, tag, width);
      for (const tag of HEIGHTS) block.setNumber(directory, tag, height);
    }
    removeThumbnail(block, first.nextOffset);
  } catch (error) {
    if (error instanceof RangeError) return null;
    throw error;
  }
  return patched;
}

function removeThumbnail(block: TagBlock, offset: number): void {
  const start = block.long(offset);
  if (!start) return;
  block.setLong(offset, 0);
  if (start + 2 > block.data.length) return;
  const second = block.directory(start);
  const from = block.number(second, THUMBNAIL);
  const length = block.number(second, THUMBNAIL_LENGTH);
  if (from && from + length <= block.data.length) block.data.fill(0, from, from + length);
}

/** Set the orientation of an XMP packet to upright, and remove properties of parts that are not in the copy. */
export function patchXmp(xmp: Uint8Array): Uint8Array<ArrayBuffer> {
  const parts = String.raw`(?:G?Camera:(?:MicroVideo|MotionPhoto)\w*|hdrgm:\w+)`;
  const text = new TextDecoder()
    .decode(xmp)
    .replace(/(tiff:Orientation(?:\s*=\s*["']|>))\d+/g, "$11")
    .replace(new RegExp(String.raw`\s${parts}\s*=\s*(?:"[^"]*"|'[^']*')`, "g"), "")
    .replace(new RegExp(String.raw`<(${parts})>[^<]*</\1>\s*`, "g"), "")
    .replace(/<(\w*Container:Directory)\b[^]*?<\/\1>\s*/g, "");
  return new TextEncoder().encode(text);
}

/** Whether XMP (GPano) describes a panorama of 360 degrees. */
export function isPanorama(xmp: Uint8Array): boolean {
  const text = new TextDecoder().decode(xmp);
  return text.includes("GPano:ProjectionType") && text.includes("equirectangular");
}
