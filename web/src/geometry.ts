// Placement of the photo on the canvas: fit, zoom and pan. All lengths are pixels of the canvas.

export const LARGEST_SCALE = 8; // canvas pixels for each pixel of the photo

export interface Size {
  width: number;
  height: number;
}

/** Placement of a photo: canvas pixels for each of its pixels, and its upper left corner. */
export interface Placement {
  scale: number;
  left: number;
  top: number;
}

/** Scale at which the whole photo is visible; small photos are shown at twice their size at the most. */
export function fitScale(photo: Size, canvas: Size): number {
  return Math.min(canvas.width / photo.width, canvas.height / photo.height, 2);
}

/** Limit the scale to the range from the whole photo, or 100 % if that is less, to `LARGEST_SCALE`. */
function bound(scale: number, photo: Size, canvas: Size): number {
  return Math.min(LARGEST_SCALE, Math.max(Math.min(1, fitScale(photo, canvas)), scale));
}

/** Keep the photo within the canvas: centered where it is smaller, without a gap where it is larger. */
export function confine(placement: Placement, photo: Size, canvas: Size): Placement {
  const scale = bound(placement.scale, photo, canvas);
  const along = (start: number, length: number, room: number) =>
    length <= room ? (room - length) / 2 : Math.min(0, Math.max(room - length, start));
  return {
    scale,
    left: along(placement.left, photo.width * scale, canvas.width),
    top: along(placement.top, photo.height * scale, canvas.height),
  };
}

export function fit(photo: Size, canvas: Size): Placement {
  return confine({ scale: fitScale(photo, canvas), left: 0, top: 0 }, photo, canvas);
}

/** Zoom so that the point (x, y) of the canvas shows the same point of the photo. */
export function zoomAt(placement: Placement, scale: number, x: number, y: number, photo: Size, canvas: Size): Placement {
  const bounded = bound(scale, photo, canvas);
  const ratio = bounded / placement.scale;
  return confine(
    { scale: bounded, left: x - (x - placement.left) * ratio, top: y - (y - placement.top) * ratio },
    photo,
    canvas,
  );
}

/** The visible part of the photo: left, top, right, bottom. */
export function visible(placement: Placement, photo: Size, canvas: Size): [number, number, number, number] {
  return [
    Math.max(0, placement.left),
    Math.max(0, placement.top),
    Math.min(canvas.width, placement.left + photo.width * placement.scale),
    Math.min(canvas.height, placement.top + photo.height * placement.scale),
  ];
}
