// Downsampling to the working size by exact area averages, as `ssdie.enhancement.correction.downsample` does. The
// browser's own resampling is not used, since results would differ between browsers.

export const WORKING_SIZE = 128; // longer side of the network's input, pixels

/** Pixels in rows, four channels, 8 bit, not premultiplied. */
export interface Pixels {
  data: Uint8ClampedArray;
  width: number;
  height: number;
}

/** Colors in rows, three channels, in [0, 1]. */
export interface Small {
  data: Float32Array;
  width: number;
  height: number;
}

export interface Region {
  left: number;
  top: number;
  width: number;
  height: number;
}

/** Size at which the longer side is at most `longSide`; rounds halves to even, as Python does. */
export function fittedSize(width: number, height: number, longSide: number): [number, number] {
  const scale = Math.min(1, longSide / Math.max(width, height));
  return [Math.max(1, roundHalfToEven(width * scale)), Math.max(1, roundHalfToEven(height * scale))];
}

function roundHalfToEven(value: number): number {
  const lower = Math.floor(value);
  if (value - lower !== 0.5) return Math.round(value);
  return lower % 2 === 0 ? lower : lower + 1;
}

/** Split a length into `parts` equal intervals; return the range of source cells that each overlaps. */
function intervals(length: number, parts: number): { first: number; last: number; start: number; stop: number }[] {
  return Array.from({ length: parts }, (_, part) => {
    const start = (part * length) / parts;
    const stop = ((part + 1) * length) / parts;
    return { first: Math.floor(start), last: Math.min(length, Math.ceil(stop - 1e-9)), start, stop };
  });
}

/**
 * Downsample a region of a photo.
 *
 * @param fill color for transparent pixels, 0 to 255, whose stored color is arbitrary; null if there are none.
 * @param gray use the green channel for all three.
 */
export function downsample(
  pixels: Pixels,
  region: Region,
  longSide: number,
  fill: number[] | null = null,
  gray = false,
): Small {
  const [width, height] = fittedSize(region.width, region.height, longSide);
  const sums = new Float64Array(region.width * 3);
  const output = new Float32Array(width * height * 3);
  const columns = intervals(region.width, width);
  intervals(region.height, height).forEach((rows, y) => {
    sums.fill(0);
    for (let row = rows.first; row < rows.last; row++) {
      const weight = Math.min(row + 1, rows.stop) - Math.max(row, rows.start);
      addRow(sums, pixels, (region.top + row) * pixels.width + region.left, region.width, weight, fill);
    }
    averageRow(sums, columns, output.subarray(y * width * 3, (y + 1) * width * 3), (rows.stop - rows.start) * 255);
  });
  if (gray) for (let n = 0; n < output.length; n += 3) output[n] = output[n + 2] = output[n + 1];
  return { data: output, width, height };
}

function addRow(
  sums: Float64Array,
  pixels: Pixels,
  start: number,
  width: number,
  weight: number,
  fill: number[] | null,
): void {
  const { data } = pixels;
  for (let x = 0, at = 4 * start, to = 0; x < width; x++, at += 4, to += 3) {
    if (fill !== null && data[at + 3] === 0) {
      for (let c = 0; c < 3; c++) sums[to + c] += weight * fill[c];
    } else {
      sums[to] += weight * data[at];
      sums[to + 1] += weight * data[at + 1];
      sums[to + 2] += weight * data[at + 2];
    }
  }
}

function averageRow(
  sums: Float64Array,
  columns: ReturnType<typeof intervals>,
  output: Float32Array,
  scale: number,
): void {
  columns.forEach((cells, x) => {
    const total = [0, 0, 0];
    for (let column = cells.first; column < cells.last; column++) {
      const weight = Math.min(column + 1, cells.stop) - Math.max(column, cells.start);
      for (let c = 0; c < 3; c++) total[c] += weight * sums[3 * column + c];
    }
    const area = scale * (cells.stop - cells.start);
    for (let c = 0; c < 3; c++) output[3 * x + c] = Math.min(1, Math.max(0, total[c] / area));
  });
}

/** Downsample a small picture further, by the same weights. */
export function downsampleSmall(small: Small, longSide: number): Small {
  const [width, height] = fittedSize(small.width, small.height, longSide);
  const columns = intervals(small.width, width);
  const output = new Float32Array(width * height * 3);
  intervals(small.height, height).forEach((rows, y) => {
    const sums = new Float64Array(small.width * 3);
    for (let row = rows.first; row < rows.last; row++) {
      const weight = Math.min(row + 1, rows.stop) - Math.max(row, rows.start);
      for (let n = 0; n < sums.length; n++) sums[n] += weight * small.data[row * sums.length + n];
    }
    averageRow(sums, columns, output.subarray(y * width * 3, (y + 1) * width * 3), rows.stop - rows.start);
  });
  return { data: output, width, height };
}
