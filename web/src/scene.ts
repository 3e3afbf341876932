// Parts of a photo outside the scene (bars, frames, transparent margins), flat pictures, and gray stored as RGB.
// Mirrors `ssdie.photo.scene`, which has the same constants.

import type { Pixels, Region } from "./reduce";

const BLACK = 16;
const WHITE = 250;
const NOISE = 4;
const EDGE = 12;
const RINGING = 16;
const RINGED = 24;
const LARGEST_BARS = 0.8;
const FLAT = 3 / 255;
const LIVELY = 6 / 255;
const PLAIN = 0.85;
const MIXED = 0.7;
const SIDE = 256;

/** Lowest, highest and mean value of a line of pixels, 0 to 255. */
interface Line {
  low: number;
  high: number;
  mean: number;
}

function lineOf(pixels: Pixels, start: number, step: number, count: number): Line {
  const { data } = pixels;
  let low = 255,
    high = 0,
    sum = 0;
  for (let n = 0, at = 4 * start; n < count; n++, at += 4 * step) {
    for (let c = 0; c < 3; c++) {
      const value = data[at + c];
      if (value < low) low = value;
      if (value > high) high = value;
      sum += value;
    }
  }
  return { low, high, mean: sum / (3 * count) };
}

/** Length of the bar that begins with line 0. */
function findBar(length: number, line: (n: number) => Line): number {
  let first = 0;
  let n = 0;
  for (; n < length; n++) {
    const { low, high, mean } = line(n);
    if (high - low > 2 * NOISE || !(high <= BLACK || low >= WHITE)) break;
    if (n > 0 && Math.abs(mean - first) > NOISE) break;
    if (n === 0) first = mean;
  }
  if (n === length || n < 2) return 0; // the picture has one color, or there is no bar
  const means: number[] = [];
  for (let k = n - 1; k < Math.min(length, n + RINGING + 1); k++) means.push(line(k).mean);
  const near = means.slice(1).findIndex((mean) => Math.abs(mean - first) > RINGED);
  const steps = means
    .slice(1)
    .map((mean, k) => Math.abs(mean - means[k]))
    .slice(0, Math.max(0, near) + 1);
  n += steps.indexOf(Math.max(...steps)); // the scene begins at the largest step, after compression ringing in the bar
  if (first > 127.5) {
    const inner = Array.from({ length: Math.min(4, length - n) }, (_, k) => line(n + k).mean);
    if (first - inner.reduce((a, b) => a + b, 0) / inner.length < EDGE) return 0;
  }
  return n;
}

/** Find the rows and columns inside black or white bars and transparent margins. */
export function findScene(pixels: Pixels, hasAlpha: boolean): Region {
  const { width, height } = pixels;
  let { left, top, right, bottom } = hasAlpha ? opaqueBox(pixels) : { left: 0, top: 0, right: width, bottom: height };
  for (let pass = 0; pass < 2; pass++) {
    // bars at the sides may begin below those above
    const row = (y: number) => lineOf(pixels, y * width + left, 1, right - left);
    const start = findBar(bottom - top, (n) => row(top + n));
    const end = findBar(bottom - top, (n) => row(bottom - 1 - n));
    [top, bottom] = [top + start, bottom - end];
    const column = (x: number) => lineOf(pixels, top * width + x, width, bottom - top);
    const before = findBar(right - left, (n) => column(left + n));
    const after = findBar(right - left, (n) => column(right - 1 - n));
    [left, right] = [left + before, right - after];
  }
  if (bottom - top < (1 - LARGEST_BARS) * height || right - left < (1 - LARGEST_BARS) * width) {
    return { left: 0, top: 0, width, height };
  }
  return { left, top, width: right - left, height: bottom - top };
}

function opaqueBox({ data, width, height }: Pixels) {
  let left = width,
    right = 0,
    top = height,
    bottom = 0;
  for (let y = 0, at = 3; y < height; y++) {
    for (let x = 0; x < width; x++, at += 4) {
      if (data[at] === 0) continue;
      if (x < left) left = x;
      if (x >= right) right = x + 1;
      if (y < top) top = y;
      bottom = y + 1;
    }
  }
  return right > 0 ? { left, right, top, bottom } : { left: 0, top: 0, right: width, bottom: height };
}

/** Weight of the repair: 0 for a flat picture or a page of one color, 1 for a photo. */
export function repairWeight({ data, width }: Pixels, region: Region, hasAlpha: boolean): number {
  const step = Math.max(1, Math.floor(Math.max(region.width, region.height) / SIDE));
  const channels: number[][] = [[], [], []];
  for (let y = 0; y < region.height; y += step) {
    for (let x = 0; x < region.width; x += step) {
      const at = 4 * ((region.top + y) * width + region.left + x);
      if (hasAlpha && data[at + 3] === 0) continue;
      for (let c = 0; c < 3; c++) channels[c].push(data[at + c] / 255);
    }
  }
  const count = channels[0].length;
  if (count === 0) return 0;
  const spread = Math.sqrt(channels.map(variance).reduce((a, b) => a + b, 0) / 3);
  const middle = channels.map(median);
  let plain = 0;
  for (let n = 0; n < count; n++) {
    if (channels.every((channel, c) => Math.abs(channel[n] - middle[c]) <= 2 / 255)) plain++;
  }
  return clip01((spread - FLAT) / (LIVELY - FLAT)) * clip01((PLAIN - plain / count) / (PLAIN - MIXED));
}

function variance(values: number[]): number {
  let sum = 0,
    squares = 0;
  for (const value of values) {
    sum += value;
    squares += value * value;
  }
  return Math.max(0, squares / values.length - (sum / values.length) ** 2);
}

function median(values: number[]): number {
  const sorted = Float64Array.from(values).sort();
  const half = sorted.length >> 1;
  return sorted.length % 2 ? sorted[half] : (sorted[half - 1] + sorted[half]) / 2;
}

function clip01(value: number): number {
  return Math.min(1, Math.max(0, value));
}

/** Whether the channels of a region differ by 2 of 255 levels at most. */
export function isGray({ data, width }: Pixels, region: Region): boolean {
  for (let y = 0; y < region.height; y++) {
    let at = 4 * ((region.top + y) * width + region.left);
    for (let x = 0; x < region.width; x++, at += 4) {
      const [r, g, b] = [data[at], data[at + 1], data[at + 2]];
      if (Math.max(r, g, b) - Math.min(r, g, b) > 2) return false;
    }
  }
  return true;
}

/** Mean color of the visible pixels of a region, rounded; null if all or none are visible. */
export function meanVisibleColor({ data, width }: Pixels, region: Region): number[] | null {
  const sums = [0, 0, 0];
  let count = 0;
  for (let y = 0; y < region.height; y++) {
    let at = 4 * ((region.top + y) * width + region.left);
    for (let x = 0; x < region.width; x++, at += 4) {
      if (data[at + 3] === 0) continue;
      count++;
      for (let c = 0; c < 3; c++) sums[c] += data[at + c];
    }
  }
  return count === region.width * region.height || count === 0 ? null : sums.map((sum) => Math.round(sum / count));
}
