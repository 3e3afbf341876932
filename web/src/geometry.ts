// Where the photo lies on the canvas: fitted, zoomed and moved. All lengths are pixels of the canvas.

export const LARGEST_SCALE = 8; // canvas pixels for each pixel of the photo

export interface Size {
  width: number;
  height: number;
}

/** Place of a photo: canvas pixels for each of its pixels, and its upper left corner. */
export interface Place {
  scale: number;
  left: number;
  top: number;
}

/** Scale at which the whole photo is visible; small photos are shown at twice their size at the most. */
export function fitScale(photo: Size, canvas: Size): number {
  return Math.min(canvas.width / photo.width, canvas.height / photo.height, 2);
}

/** The scale within its limits: from the whole photo, or 100 % where that is less, to its single pixels. */
function bound(scale: number, photo: Size, canvas: Size): number {
  return Math.min(LARGEST_SCALE, Math.max(Math.min(1, fitScale(photo, canvas)), scale));
}

/** Keep the photo within the canvas: centered where it is smaller, without a gap where it is larger. */
export function confine(place: Place, photo: Size, canvas: Size): Place {
  const scale = bound(place.scale, photo, canvas);
  const along = (start: number, length: number, room: number) =>
    length <= room ? (room - length) / 2 : Math.min(0, Math.max(room - length, start));
  return {
    scale,
    left: along(place.left, photo.width * scale, canvas.width),
    top: along(place.top, photo.height * scale, canvas.height),
  };
}

export function fit(photo: Size, canvas: Size): Place {
  return confine({ scale: fitScale(photo, canvas), left: 0, top: 0 }, photo, canvas);
}

/** Zoom so that the point (x, y) of the canvas keeps its place in the photo. */
export function zoomAt(place: Place, scale: number, x: number, y: number, photo: Size, canvas: Size): Place {
  const bounded = bound(scale, photo, canvas);
  const ratio = bounded / place.scale;
  return confine(
    { scale: bounded, left: x - (x - place.left) * ratio, top: y - (y - place.top) * ratio },
    photo,
    canvas,
  );
}

/** The visible part of the photo: left, top, right, bottom. */
export function visible(place: Place, photo: Size, canvas: Size): [number, number, number, number] {
  return [
    Math.max(0, place.left),
    Math.max(0, place.top),
    Math.min(canvas.width, place.left + photo.width * place.scale),
    Math.min(canvas.height, place.top + photo.height * place.scale),
  ];
}
