// COCO's run lengths. A mask is kept as a crop: only its tight box is stored, row by row.

/**
 * Return the run lengths of COCO's compressed text; background comes first.
 *
 * Each number is written in groups of five bits, lowest first, and from the third on as a difference to the one before
 * the last (`rleFrString` of pycocotools).
 */
function runsOf(counts) {
  const runs = [];
  for (let at = 0; at < counts.length;) {
    let value = 0;
    let shift = 0;
    let group;
    do {
      group = counts.charCodeAt(at++) - 48;
      value |= (group & 0x1f) << shift;
      shift += 5;
    } while (group & 0x20);
    if (group & 0x10) value |= -1 << shift;
    runs.push(runs.length > 2 ? value + runs[runs.length - 2] : value);
  }
  return runs;
}

/**
 * Return the tight crop of a mask, or null if it is empty.
 * @param {{size: [number, number], counts: string}} mask  size is height and width of the image in pixels
 * @returns {{x0: number, y0: number, width: number, height: number, pixels: Uint8Array}|null}  1 is inside
 */
export function decodeMask({ size: [height], counts }) {
  const spans = columnSpans(runsOf(counts), height);
  if (!spans.length) return null;
  const x0 = spans[0].x;
  const y0 = spans.reduce((top, span) => Math.min(top, span.first), Infinity);
  const y1 = spans.reduce((bottom, span) => Math.max(bottom, span.end), 0);
  const crop = { x0, y0, width: spans.at(-1).x + 1 - x0, height: y1 - y0 };
  const pixels = new Uint8Array(crop.width * crop.height);
  for (const { x, first, end } of spans) {
    for (let y = first; y < end; y++) pixels[(y - y0) * crop.width + (x - x0)] = 1;
  }
  return { ...crop, pixels };
}

// Runs go down the columns; a span is the part of a run within one column.
function columnSpans(runs, height) {
  const spans = [];
  let at = 0;
  runs.forEach((length, index) => {
    for (let start = at; index % 2 && start < at + length;) {
      const x = Math.floor(start / height);
      const end = Math.min(at + length, (x + 1) * height);
      spans.push({ x, first: start - x * height, end: end - x * height });
      start = end;
    }
    at += length;
  });
  return spans;
}

/** Return whether the pixel that holds the point lies in the mask. */
export function holds(crop, [x, y]) {
  const [column, row] = [Math.floor(x) - crop.x0, Math.floor(y) - crop.y0];
  return (
    column >= 0 && row >= 0 && column < crop.width && row < crop.height && crop.pixels[row * crop.width + column] === 1
  );
}

/** Return the number of pixels inside. */
export const areaOf = (crop) => crop.pixels.reduce((sum, pixel) => sum + pixel, 0);

/**
 * Return a crop as a mask of compressed run lengths, the reverse of `decodeMask`.
 * @param {[number, number]} size  height and width of the image in pixels
 */
export function encodeMask(crop, [height, width]) {
  const runs = [];
  let [value, length] = [0, 0];
  const push = (next, count) => {
    if (next !== value && count) {
      runs.push(length);
      [value, length] = [next, 0];
    }
    length += count;
  };
  push(0, crop.x0 * height);
  for (let x = 0; x < crop.width; x++) {
    push(0, crop.y0);
    for (let y = 0; y < crop.height; y++) push(crop.pixels[y * crop.width + x], 1);
    push(0, height - crop.y0 - crop.height);
  }
  push(0, (width - crop.x0 - crop.width) * height);
  return { size: [height, width], counts: textOf([...runs, length]) };
}

function textOf(runs) {
  const signs = [];
  runs.forEach((run, index) => {
    let value = index > 2 ? run - runs[index - 2] : run;
    for (let more = true; more;) {
      const group = value & 0x1f;
      value >>= 5;
      more = group & 0x10 ? value !== -1 : value !== 0;
      signs.push(String.fromCharCode((more ? group | 0x20 : group) + 48));
    }
  });
  return signs.join("");
}
