// Rotate photos upright if the browser does not: not all browsers apply the orientation of WebP files.

import { ascii } from "./files/bytes";
import { readOrientation } from "./files/exif";
import { emptyMetadata, type Kind, type Metadata } from "./files/metadata";
import { writeWebp } from "./files/webp";

/** Rotate a decoded bitmap upright by its EXIF orientation, unless the browser has done so. */
export async function turnUpright(bitmap: ImageBitmap, kind: Kind, metadata: Metadata): Promise<ImageBitmap> {
  const orientation = metadata.exif ? readOrientation(metadata.exif) : 1;
  if (kind !== "WEBP" || orientation < 2 || orientation > 8 || (await rotatesWebp())) return bitmap;
  const { width, height } = bitmap;
  const [w, h] = orientation > 4 ? [height, width] : [width, height];
  const canvas = new OffscreenCanvas(w, h);
  const context = canvas.getContext("2d")!;
  const transforms: Record<number, [number, number, number, number, number, number]> = {
    2: [-1, 0, 0, 1, w, 0],
    3: [-1, 0, 0, -1, w, h],
    4: [1, 0, 0, -1, 0, h],
    5: [0, 1, 1, 0, 0, 0],
    6: [0, 1, -1, 0, w, 0],
    7: [0, -1, -1, 0, w, h],
    8: [0, -1, 1, 0, 0, h],
  };
  context.setTransform(...transforms[orientation]);
  context.drawImage(bitmap, 0, 0);
  bitmap.close();
  return createImageBitmap(canvas, { premultiplyAlpha: "none", colorSpaceConversion: "none" });
}

let known: Promise<boolean> | undefined;

/** Whether this browser applies the orientation of WebP files; tested with a rotated image of 2 x 1 pixels. */
function rotatesWebp(): Promise<boolean> {
  known ??= (async () => {
    const canvas = new OffscreenCanvas(2, 1);
    canvas.getContext("2d")!.fillRect(0, 0, 2, 1);
    const encoded = await canvas.convertToBlob({ type: "image/webp" });
    if (encoded.type !== "image/webp") return true; // Safari cannot encode WebP, but applies its orientation
    const exif = ascii("II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0\x06\0\0\0\0\0\0\0");
    const data = writeWebp(new Uint8Array(await encoded.arrayBuffer()), { ...emptyMetadata(), exif });
    return (await createImageBitmap(new Blob([data], { type: "image/webp" }))).height === 2;
  })();
  return known;
}
