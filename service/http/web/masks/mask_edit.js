// Arithmetic of masks as crops: what two share, one added to or taken from another, and what a brush paints.

import { areaOf } from "./rle.js";

/** Return the IoU of two masks. */
export function iouOf(a, b) {
  const shared = countShared(a, b);
  return shared / Math.max(1, areaOf(a) + areaOf(b) - shared);
}

/** Return the share of a mask that is still there in another. */
export const keptShareOf = (mask, other) => countShared(mask, other) / Math.max(1, areaOf(mask));

function countShared(a, b) {
  let shared = 0;
  for (let y = Math.max(a.y0, b.y0); y < Math.min(a.y0 + a.height, b.y0 + b.height); y++) {
    for (let x = Math.max(a.x0, b.x0); x < Math.min(a.x0 + a.width, b.x0 + b.width); x++)
      shared += at(a, x, y) & at(b, x, y);
  }
  return shared;
}

const at = ({ x0, y0, width, height, pixels }, x, y) =>
  x >= x0 && y >= y0 && x < x0 + width && y < y0 + height ? pixels[(y - y0) * width + (x - x0)] : 0;

/** Return a mask with another added, or taken away; null if nothing is left. */
export function combined(mask, part, adds) {
  const x0 = adds ? Math.min(mask.x0, part.x0) : mask.x0;
  const y0 = adds ? Math.min(mask.y0, part.y0) : mask.y0;
  const x1 = adds ? Math.max(mask.x0 + mask.width, part.x0 + part.width) : mask.x0 + mask.width;
  const y1 = adds ? Math.max(mask.y0 + mask.height, part.y0 + part.height) : mask.y0 + mask.height;
  const whole = { x0, y0, width: x1 - x0, height: y1 - y0, pixels: new Uint8Array((x1 - x0) * (y1 - y0)) };
  for (let index = 0, y = y0; y < y1; y++) {
    for (let x = x0; x < x1; x++, index++) {
      whole.pixels[index] = adds ? at(mask, x, y) | at(part, x, y) : at(mask, x, y) & ~at(part, x, y);
    }
  }
  return tight(whole);
}

/** Return the crop without empty rows and columns at its edges; null if it is empty. */
function tight(crop) {
  let [left, top, right, bottom] = [crop.width, crop.height, -1, -1];
  crop.pixels.forEach((pixel, index) => {
    if (!pixel) return;
    const [x, y] = [index % crop.width, Math.floor(index / crop.width)];
    [left, top, right, bottom] = [Math.min(left, x), Math.min(top, y), Math.max(right, x), Math.max(bottom, y)];
  });
  if (right < 0) return null;
  const small = { x0: crop.x0 + left, y0: crop.y0 + top, width: right + 1 - left, height: bottom + 1 - top };
  const rows = Array.from({ length: small.height }, (_, y) =>
    crop.pixels.subarray((top + y) * crop.width + left, (top + y) * crop.width + right + 1),
  );
  const pixels = new Uint8Array(small.width * small.height);
  rows.forEach((row, y) => pixels.set(row, y * small.width));
  return { ...small, pixels };
}

/**
 * Return what a round brush paints along a line, cut to the image; null if that is nothing.
 * @param {[number, number][]} points  in pixels of the image
 * @param {number} radius  of the brush in the same pixels
 * @param {[number, number]} imageWh
 */
export function strokeCrop(points, radius, imageWh) {
  const low = [0, 1].map((axis) =>
    clamp(Math.floor(Math.min(...points.map((point) => point[axis])) - radius - 1), imageWh[axis]),
  );
  const high = [0, 1].map((axis) =>
    clamp(Math.ceil(Math.max(...points.map((point) => point[axis])) + radius + 1), imageWh[axis]),
  );
  const [width, height] = [high[0] - low[0], high[1] - low[1]];
  if (width < 1 || height < 1) return null;
  const context = new OffscreenCanvas(width, height).getContext("2d");
  context.translate(-low[0], -low[1]);
  [context.lineCap, context.lineJoin, context.lineWidth] = ["round", "round", 2 * radius];
  context.beginPath();
  context.moveTo(...points[0]);
  for (const point of [...points.slice(1), points.at(-1)]) context.lineTo(...point);
  context.stroke();
  const { data } = context.getImageData(0, 0, width, height);
  return tight({
    x0: low[0],
    y0: low[1],
    width,
    height,
    pixels: Uint8Array.from({ length: width * height }, (_, index) => (data[4 * index + 3] > 127 ? 1 : 0)),
  });
}

const clamp = (value, end) => Math.min(end, Math.max(0, value));
