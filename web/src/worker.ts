// The worker: decoding, network and encoding, so that the page stays responsive.

import { smallToSrgb } from "./color";
import { decode, hasAlpha, readPixels, Refusal, type Decoded } from "./decode";
import { Engine } from "./engine";
import type { Analysis, Reply, Request } from "./protocol";
import { downsample, downsampleSmall, WORKING_SIZE, type Pixels, type Small } from "./reduce";
import type { Repair } from "./renderer";
import { findScene, isGray, meanVisibleColor, repairWeight } from "./scene";
import { save } from "./save";

const IDENTITY = [1, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0];
let engine: Promise<Engine>;

async function analyze(file: Blob, name: string): Promise<Analysis> {
  const decoded = await decode(file, name);
  const pixels = readPixels(decoded.bitmap);
  const transparent = decoded.kind !== "JPEG" && hasAlpha(pixels);
  const scene = findScene(pixels, transparent);
  const weight = repairWeight(pixels, scene, transparent);
  const gray = isGray(pixels, scene);
  const fill = transparent ? meanVisibleColor(pixels, scene) : null;
  const small = reduce(pixels, decoded, scene, fill, gray);
  const common = {
    width: pixels.width,
    height: pixels.height,
    scene,
    gray,
    space: decoded.space,
    hasAlpha: transparent,
  };
  const repair: Repair =
    weight === 0
      ? { ...common, weight, maps: Float32Array.from(IDENTITY), columns: 1, rows: 1, dust: null }
      : { ...common, weight, ...(await (await engine).correct(small)), columns: small.width, rows: small.height };
  const notes = [...decoded.notes];
  if (weight === 0) notes.push("This picture is flat or mostly of one color: nothing was repaired.");
  return { repair, notes, thumbnail: await drawThumbnail(small, repair), bitmap: decoded.bitmap };
}

function reduce(
  pixels: Pixels,
  { space }: Decoded,
  scene: Repair["scene"],
  fill: number[] | null,
  gray: boolean,
): Small {
  if (!space) return downsample(pixels, scene, WORKING_SIZE, fill, gray);
  // Converting each pixel takes seconds; converting averages of a few pixels differs by less than a level.
  const medium = downsample(pixels, scene, 8 * WORKING_SIZE, fill, gray);
  return downsampleSmall(smallToSrgb(medium, space), WORKING_SIZE);
}

function drawThumbnail({ data, width, height }: Small, { maps, columns, rows }: Repair): Promise<ImageBitmap> {
  const image = new ImageData(width, height);
  const cells = columns * rows;
  for (let n = 0; n < width * height; n++) {
    const cell = cells === 1 ? 0 : n;
    for (let c = 0; c < 3; c++) {
      let value = maps[(9 + c) * cells + cell];
      for (let k = 0; k < 3; k++) value += maps[(3 * c + k) * cells + cell] * data[3 * n + k];
      image.data[4 * n + c] = Math.round(255 * value);
    }
    image.data[4 * n + 3] = 255;
  }
  return createImageBitmap(image);
}

/** Run the network once after loading, since the first run in WebAssembly is slow. */
async function warmUp(): Promise<void> {
  const [width, height] = [WORKING_SIZE, (3 * WORKING_SIZE) / 4];
  await (await engine).correct({ data: new Float32Array(3 * width * height).fill(0.5), width, height });
}

async function handle(request: Request): Promise<[unknown, Transferable[]]> {
  switch (request.task) {
    case "start":
      engine = Engine.load(request.base, (loaded, total) => post({ id: -1, loaded, total }));
      await engine;
      queue = queue.then(warmUp);
      return [null, []];
    case "analyze": {
      const analysis = await analyze(request.file, request.name);
      return [analysis, [analysis.bitmap, analysis.thumbnail]];
    }
    case "open": {
      const { bitmap } = await decode(request.file, request.name);
      return [bitmap, [bitmap]];
    }
    case "save":
      return [await save(request), []];
  }
}

function post(message: Reply, transfer: Transferable[] = []): void {
  self.postMessage(message, { transfer });
}

let queue: Promise<unknown> = Promise.resolve(); // one task at a time, so that only one photo is in memory

self.onmessage = ({ data: request }: MessageEvent<Request>) => {
  const run = async () => {
    try {
      const [result, transfer] = await handle(request);
      post({ id: request.id, result }, transfer);
    } catch (error) {
      if (error instanceof Refusal) post({ id: request.id, refusal: error.message });
      else post({ id: request.id, error: error instanceof Error ? error.message : String(error) });
    }
  };
  if (request.task === "start") void run();
  else queue = queue.then(run);
};
