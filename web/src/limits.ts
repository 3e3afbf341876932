// How large a photo may be: a phone ends a page that needs more memory than it has, without a word.

const MEGAPIXEL = 1e6;
const ON_DESKTOPS = 120 * MEGAPIXEL;
const ON_PHONES = 36 * MEGAPIXEL;
const LONGEST_SIDE = 16384; // of a canvas in every browser

interface Device {
  userAgent: string;
  deviceMemory?: number; // GB, at most 8; Chromium alone says it
  userAgentData?: { mobile: boolean };
}

export function isPhone(device: Device = navigator): boolean {
  return device.userAgentData?.mobile ?? /Android|iPhone|iPad|iPod|Mobile/.test(device.userAgent);
}

/** Largest number of pixels on this device. */
export function largestPhoto(device: Device = navigator): number {
  const limit = isPhone(device) ? ON_PHONES : ON_DESKTOPS;
  return (device.deviceMemory ?? 8) <= 2 ? limit / 2 : limit;
}

/** The sentence for a photo that is too large here; null for one that is not. */
export async function refuseTooLarge(file: Blob): Promise<string | null> {
  const size = await measure(file);
  if (!size) return null; // the decoder says what is wrong with it
  const [width, height] = size;
  const limit = largestPhoto();
  if (width * height <= limit && Math.max(width, height) <= LONGEST_SIDE) return null;
  const got = `This photo has ${width} x ${height} pixels (${Math.round((width * height) / MEGAPIXEL)} megapixels)`;
  if (width * height <= limit)
    return `${got}; a side may have ${LONGEST_SIDE} here. Use the command line: ssdie enhance`;
  const remedy = isPhone()
    ? "Open this page on a computer, or save the photo smaller"
    : "Use the command line: ssdie enhance";
  return `${got}; this device can hold ${Math.round(limit / MEGAPIXEL)}. ${remedy}.`;
}

/** Width and height of a photo by its header: nothing is decoded. */
function measure(file: Blob): Promise<[number, number] | null> {
  const image = new Image();
  const address = URL.createObjectURL(file);
  return new Promise<[number, number] | null>((resolve) => {
    image.onload = () => resolve([image.naturalWidth, image.naturalHeight]);
    image.onerror = () => resolve(null);
    image.src = address;
  }).finally(() => URL.revokeObjectURL(address));
}
