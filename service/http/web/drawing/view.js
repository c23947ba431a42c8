// How the image lies on the canvas: `{scale, left, top}`, in CSS pixels of the canvas for one pixel of the image.

const MAX_SCALE = 40;
const MARGIN_PX = 12;

/** Return the view that shows the whole image in the middle. */
export function fitView(imageWh, canvasWh) {
  const room = canvasWh.map((length) => Math.max(1, length - 2 * MARGIN_PX));
  const scale = Math.min(room[0] / imageWh[0], room[1] / imageWh[1], 8);
  return { scale, left: (canvasWh[0] - imageWh[0] * scale) / 2, top: (canvasWh[1] - imageWh[1] * scale) / 2 };
}

/** Return the view with a box of the image in the middle, and its own size around it on each side. */
export function boxView([x0, y0, x1, y1], canvasWh) {
  const scale = Math.min(canvasWh[0] / (3 * (x1 - x0)), canvasWh[1] / (3 * (y1 - y0)), MAX_SCALE);
  return { scale, left: (canvasWh[0] - (x0 + x1) * scale) / 2, top: (canvasWh[1] - (y0 + y1) * scale) / 2 };
}

export const toImage = ({ scale, left, top }, [x, y]) => [(x - left) / scale, (y - top) / scale];
export const toCanvas = ({ scale, left, top }, [x, y]) => [x * scale + left, y * scale + top];
export const panned = (view, dx, dy) => ({ ...view, left: view.left + dx, top: view.top + dy });

/** Return the view enlarged by `factor` about a point of the canvas, which stays in its place. */
export function zoomed({ scale, left, top }, factor, [x, y], minScale) {
  const next = Math.min(MAX_SCALE, Math.max(minScale, scale * factor));
  return { scale: next, left: x - ((x - left) * next) / scale, top: y - ((y - top) * next) / scale };
}
