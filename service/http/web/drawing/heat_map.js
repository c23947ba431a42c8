// The class activation map of a tag as colours: cold places are clear, warm ones glow.

const STOPS = [
  [0, [33, 11, 84]],
  [0.4, [183, 40, 121]],
  [0.7, [251, 135, 60]],
  [1, [252, 253, 160]],
];
const maps = new WeakMap();

/** Return the coloured map of an explained tag once it is made; `whenReady` is called when it is. */
export function heatMapOf(tag, whenReady) {
  if (!tag) return null;
  if (!maps.has(tag)) {
    maps.set(tag, null);
    colouredMap(tag.cam_png_base64).then((map) => {
      maps.set(tag, map);
      whenReady();
    });
  }
  return maps.get(tag);
}

async function colouredMap(pngBase64) {
  const bytes = Uint8Array.from(atob(pngBase64), (sign) => sign.charCodeAt(0));
  const grey = await createImageBitmap(new Blob([bytes], { type: "image/png" }));
  const canvas = new OffscreenCanvas(grey.width, grey.height);
  const context = canvas.getContext("2d");
  context.drawImage(grey, 0, 0);
  const image = context.getImageData(0, 0, grey.width, grey.height);
  for (let at = 0; at < image.data.length; at += 4) image.data.set(colourAt(image.data[at] / 255), at);
  context.putImageData(image, 0, 0);
  return canvas;
}

function colourAt(value) {
  const above = Math.max(
    1,
    STOPS.findIndex(([stop]) => stop >= value),
  );
  const [[low, from], [high, to]] = [STOPS[above - 1], STOPS[above]];
  const share = (value - low) / (high - low);
  return [...from.map((channel, index) => channel + share * (to[index] - channel)), 215 * Math.min(1, value * 1.15)];
}
