// Color spaces of photos: from their own space to sRGB, and back. Mirrors `ssdie.photo.color`.
//
// The input of the network is sRGB, and the copy keeps the photo's own profile. Therefore a photo whose profile has
// curves and a matrix (Display P3, Adobe RGB, ...) is decoded without the browser's color conversion. The shader
// converts each pixel to sRGB, repairs it, and converts it back, which keeps colors outside sRGB. A photo whose profile
// has lookup tables, and every photo in a browser that ignores `colorSpaceConversion: "none"`, is converted to sRGB by
// the browser on decoding; its copy is sRGB without a profile, which a note reports.

import type { Small } from "./reduce";
import { viewOf } from "./files/bytes";

const SAMPLES = 1024; // of the encoding curves
const CLOSE = 0.004; // one level of 8 bit: color spaces that differ by less count as equal
// XYZ of red, green, blue of sRGB as columns, adapted to D50, the white of ICC profiles
const SRGB_TO_XYZ = [
  0.4360747, 0.3850649, 0.1430804, 0.2225045, 0.7168786, 0.0606169, 0.0139322, 0.0971045, 0.7141733,
];

/** A color space other than sRGB. */
export interface Space {
  decode: Float32Array; // 3 x 256: linear light of each channel at v / 255
  encode: Float32Array; // 3 x SAMPLES: value of each channel where linear light is srgbDecode(n / (SAMPLES - 1))
  toSrgb: number[]; // 3 x 3, in rows, of linear light
  fromSrgb: number[];
}

export function srgbDecode(value: number): number {
  const size = Math.abs(value);
  return Math.sign(value) * (size <= 0.04045 ? size / 12.92 : ((size + 0.055) / 1.055) ** 2.4);
}

export function srgbEncode(light: number): number {
  const size = Math.abs(light);
  return Math.sign(light) * (size <= 0.0031308 ? 12.92 * size : 1.055 * size ** (1 / 2.4) - 0.055);
}

/**
 * Read the color space of an ICC profile.
 *
 * @returns "srgb" for profiles equal to sRGB and gray profiles with its curve; null for profiles that have lookup tables,
 *   are damaged, or have another number of channels.
 */
export function spaceOf(profile: Uint8Array): Space | "srgb" | null {
  try {
    const tags = readTags(profile);
    const kind = String.fromCharCode(...profile.subarray(16, 20));
    if (kind === "GRAY") {
      const curve = curveOf(tags.get("kTRC")!);
      return [0, 0.25, 0.5, 0.75, 1].every((v) => Math.abs(srgbEncode(curve(v)) - v) < CLOSE) ? "srgb" : null;
    }
    if (kind !== "RGB ") return null;
    const columns = ["rXYZ", "gXYZ", "bXYZ"].map((name) => tags.get(name)!);
    const numbers = columns.map((tag) => [8, 12, 16].map((at) => viewOf(tag).getInt32(at) / 65536));
    const toXyz = [0, 1, 2].flatMap((row) => numbers.map((column) => column[row]));
    const curves = ["rTRC", "gTRC", "bTRC"].map((name) => curveOf(tags.get(name)!));
    return unlessSrgb(makeSpace(curves, multiply(inverse(SRGB_TO_XYZ), toXyz)));
  } catch (error) {
    if (error instanceof RangeError || error instanceof TypeError) return null;
    throw error;
  }
}

type Curve = (value: number) => number;

function makeSpace(curves: Curve[], toSrgb: number[]): Space {
  const decode = new Float32Array(3 * 256);
  const encode = new Float32Array(3 * SAMPLES);
  curves.forEach((curve, c) => {
    for (let n = 0; n < 256; n++) decode[c * 256 + n] = curve(n / 255);
    for (let n = 0; n < SAMPLES; n++) encode[c * SAMPLES + n] = invert(curve, srgbDecode(n / (SAMPLES - 1)));
  });
  return { decode, encode, toSrgb, fromSrgb: inverse(toSrgb) };
}

/** Invert an increasing curve by bisection. */
function invert(curve: Curve, light: number): number {
  let [low, high] = [0, 1];
  for (let n = 0; n < 20; n++) {
    const middle = (low + high) / 2;
    if (curve(middle) < light) low = middle;
    else high = middle;
  }
  return (low + high) / 2;
}

function readTags(profile: Uint8Array): Map<string, Uint8Array> {
  const view = viewOf(profile);
  const count = view.getUint32(128);
  if (count > 200) throw new RangeError("damaged");
  const tags = new Map<string, Uint8Array>();
  for (let n = 0; n < count; n++) {
    const at = 132 + 12 * n;
    const start = view.getUint32(at + 4);
    tags.set(
      String.fromCharCode(...profile.subarray(at, at + 4)),
      profile.subarray(start, start + view.getUint32(at + 8)),
    );
  }
  return tags;
}

/** Curve from encoded values to linear light, from a tag of type "curv" or "para" (ICC.1:2022, sections 10.6 and 10.18). */
function curveOf(tag: Uint8Array): Curve {
  const view = viewOf(tag);
  if (tag[0] === 0x63) {
    const count = view.getUint32(8);
    if (count === 0) return (v) => v;
    if (count === 1) return (v) => v ** (view.getUint16(12) / 256);
    const values = Array.from({ length: count }, (_, n) => view.getUint16(12 + 2 * n) / 65535);
    return (v) => {
      const position = v * (count - 1);
      const lower = Math.min(count - 2, Math.floor(position));
      return values[lower] + (position - lower) * (values[lower + 1] - values[lower]);
    };
  }
  const kind = view.getUint16(8);
  const numbers = [1, 3, 4, 5, 7][kind];
  const read = Array.from({ length: 7 }, (_, n) => (n < numbers ? view.getInt32(12 + 4 * n) / 65536 : 0));
  let [g, a, b, c, d, e, f] = read;
  if (kind === 0) a = 1;
  if (kind === 1 || kind === 2) [c, d, e, f] = [0, -b / a, c, c];
  return (v) => (d <= v ? Math.max(a * v + b, 0) ** g + e : c * v + f);
}

function unlessSrgb(space: Space): Space | "srgb" {
  const steps = [0, 0.25, 0.5, 0.75, 1];
  for (const r of steps)
    for (const g of steps)
      for (const b of steps) {
        const color = convert(space, [r, g, b]).map((v) => Math.min(1, Math.max(0, v)));
        if ([r, g, b].some((v, c) => Math.abs(v - color[c]) > CLOSE)) return space;
      }
  return "srgb";
}

function convert(space: Space, color: ArrayLike<number>): number[] {
  const light = [0, 1, 2].map((c) => {
    const position = color[c] * 255;
    const lower = Math.min(254, Math.floor(position));
    const [from, to] = [space.decode[c * 256 + lower], space.decode[c * 256 + lower + 1]];
    return from + (position - lower) * (to - from);
  });
  return [0, 3, 6].map((row) =>
    srgbEncode(space.toSrgb[row] * light[0] + space.toSrgb[row + 1] * light[1] + space.toSrgb[row + 2] * light[2]),
  );
}

/** Convert a small picture to sRGB, clipped to its gamut. */
export function smallToSrgb(small: Small, space: Space): Small {
  const data = new Float32Array(small.data.length);
  for (let n = 0; n < data.length; n += 3) {
    data.set(
      convert(space, small.data.subarray(n, n + 3)).map((v) => Math.min(1, Math.max(0, v))),
      n,
    );
  }
  return { ...small, data };
}

function multiply(a: number[], b: number[]): number[] {
  return Array.from({ length: 9 }, (_, n) => {
    const [row, column] = [Math.floor(n / 3), n % 3];
    return a[3 * row] * b[column] + a[3 * row + 1] * b[3 + column] + a[3 * row + 2] * b[6 + column];
  });
}

function inverse([a, b, c, d, e, f, g, h, i]: number[]): number[] {
  const determinant = a * (e * i - f * h) - b * (d * i - f * g) + c * (d * h - e * g);
  if (Math.abs(determinant) < 1e-9) throw new RangeError("the matrix of the profile is singular");
  return [
    e * i - f * h,
    c * h - b * i,
    b * f - c * e,
    f * g - d * i,
    a * i - c * g,
    c * d - a * f,
    d * h - e * g,
    b * g - a * h,
    a * e - b * d,
  ].map((v) => v / determinant);
}
