// Size limits of photos: a phone closes a page that exceeds its memory, without an error message.

const MEGAPIXEL = 1e6;
const ON_DESKTOPS = 120 * MEGAPIXEL;
const ON_PHONES = 36 * MEGAPIXEL;
const LONGEST_SIDE = 16384; // of a canvas in every browser

interface Device {
  userAgent: string;
  deviceMemory?: number; // GB, at most 8; only in Chromium
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

/** Return the message for a photo that is too large for this device; null for other photos. */
export async function refuseTooLarge(file: Blob): Promise<string | null> {
  const size = await measure(file);
  if (!size) return null; // the decoder reports the error
  const [width, height] = size;
  const limit = largestPhoto();
  if (width * height <= limit && Math.max(width, height) <= LONGEST_SIDE) return null;
  const got = `This photo has ${width} x ${height} pixels (${Math.round((width * height) / MEGAPIXEL)} megapixels)`;
  if (width * height <= limit)
    return `${got}; the longest side may have ${LONGEST_SIDE} pixels here. Use the command line: ssdie enhance`;
  const remedy = isPhone()
    ? "Open this page on a computer, or reduce the size of the photo"
    : "Use the command line: ssdie enhance";
  return `${got}; the limit on this device is ${Math.round(limit / MEGAPIXEL)} megapixels. ${remedy}.`;
}

/** Read width and height of a photo from its header, without decoding it. */
function measure(file: Blob): Promise<[number, number] | null> {
  const image = new Image();
  const address = URL.createObjectURL(file);
  return new Promise<[number, number] | null>((resolve) => {
    image.onload = () => resolve([image.naturalWidth, image.naturalHeight]);
    image.onerror = () => resolve(null);
    image.src = address;
  }).finally(() => URL.revokeObjectURL(address));
}
