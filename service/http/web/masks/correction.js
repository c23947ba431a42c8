// From clicks and brush strokes on the image to the next mask of an object.

import { combined, iouOf, keptShareOf } from "./mask_edit.js";
import { decodeMask, encodeMask, holds } from "./rle.js";
import { NO_PROMPT } from "../state.js";

// A click shall mend a mask: a part that changes more of it than this leaves of its IoU is another object.
const MIN_KEPT_IOU = 0.55;
// A click that adds must not lose what the object was before: a mask that keeps less of it shows something else.
const MIN_KEPT_SHARE = 0.7;

/** Return an object that holds nothing yet, for clicks or a box to fill. */
export const newObject = (label) => ({
  ...NO_PROMPT,
  id: `own-${Date.now().toString(36)}-${Math.random().toString(36).slice(2)}`,
  label,
  score: 1,
  box_xyxy: null,
  mask: null,
  mask_score: null,
  source: "person",
  touched: true,
  painted: false,
});

/**
 * Return the prompt for a whole object, points and box, or null if there is none.
 *
 * The box of a detection goes along while all clicks on the object lie in it: the clicks then say what is wrong within
 * it. Otherwise the anchor goes along, so that the object is not lost. A mask that was painted by hand has no prompt:
 * the service does not know it.
 */
export function promptOf({ clicks, promptBox, box_xyxy: boxXyxy, source, painted, anchor }) {
  if (painted) return null;
  const box = promptBox ?? (source === "person" ? null : boxXyxy);
  const fits = box && clicks.every(([x, y, label]) => !label || inBox(box, [x, y]));
  if (fits) return { points: clicks, box };
  const points = anchor ? [[...anchor, 1], ...clicks] : clicks;
  return points.some(([, , label]) => label) ? { points, box: null } : null;
}

/** Return the prompt for the part of an object that the last click shows. */
export const partPrompt = ({ clicks }) => ({ points: [[...clicks.at(-1).slice(0, 2), 1]], box: null });

export const inBox = ([x0, y0, x1, y1], [x, y]) => x >= x0 && x < x1 && y >= y0 && y < y1;

/** Return the object's mask with each of the parts added or taken away, as the last click says. */
export function withParts({ mask, clicks }, parts) {
  const current = mask && decodeMask(mask);
  if (!current) return [];
  return parts.flatMap(({ mask: partMask, predicted_iou }) => {
    const part = partMask && decodeMask(partMask);
    const whole = part && combined(current, part, clicks.at(-1)[2] === 1);
    if (!whole || iouOf(whole, current) < MIN_KEPT_IOU) return [];
    return [{ mask: encodeMask(whole, mask.size), box_xyxy: boxOf(whole), predicted_iou }];
  });
}

/**
 * Return the index of the mask that agrees with most clicks; among equals, the one closest to the mask so far.
 *
 * Return -1 if none may be shown: all are empty, or they show another thing in place of the object.
 * @param {object[]} masks  as `POST /segment` responds, the surest first
 */
export function bestLevel(masks, object) {
  const current = object.mask && decodeMask(object.mask);
  const worth = masks.map(({ mask }) => {
    const crop = mask && decodeMask(mask);
    if (!crop || strays(crop, object)) return -1;
    return agreeing(crop, object) + (current ? 0.999 * iouOf(crop, current) : 0);
  });
  const best = Math.max(-1, ...worth);
  return best < 0 ? -1 : worth.indexOf(best);
}

/** Return whether any of the masks agrees with all clicks. */
export const anyAgrees = (masks, object) =>
  masks
    .map(({ mask }) => mask && decodeMask(mask))
    .some((crop) => crop && agreeing(crop, object) === object.clicks.length && !strays(crop, object));

const agreeing = (crop, { clicks }) => clicks.filter(([x, y, label]) => holds(crop, [x, y]) === (label === 1)).length;

// Only of an object that had a mask before its clicks, which is when it has an anchor.
const strays = (crop, { mask, anchor, clicks }) =>
  anchor !== null && clicks.at(-1)?.[2] === 1 && keptShareOf(decodeMask(mask), crop) < MIN_KEPT_SHARE;

/** Return the object with one more click. The first click on a mask notes a point deep in it, its anchor. */
export function withClick(object, click) {
  const isFirst = object.mask && !object.clicks.length;
  return {
    ...object,
    clicks: [...object.clicks, click],
    anchor: isFirst ? anchorOf(decodeMask(object.mask)) : object.anchor,
  };
}

/** Return the object as a new box defines it: what it was before does not count. */
export const withBox = (object, boxXyxy) => ({
  ...object,
  promptBox: boxXyxy,
  painted: false,
  clicks: [],
  anchor: null,
  mask: null,
});

// The middle of the longest row of pixels.
function anchorOf({ x0, y0, width, height, pixels }) {
  let [best, anchor] = [0, null];
  for (let y = 0; y < height; y++) {
    for (let x = 0, length = 0; x < width; x++) {
      length = pixels[y * width + x] ? length + 1 : 0;
      if (length > best) [best, anchor] = [length, [x0 + x + 1 - length / 2, y0 + y + 0.5]];
    }
  }
  return anchor;
}

/** Return the object showing one of the masks that its clicks may mean. */
export function withMasks(object, masks, level) {
  const { mask, box_xyxy, predicted_iou } = masks[level];
  return { ...object, touched: true, levels: masks, level, mask, box_xyxy, mask_score: predicted_iou };
}

/** Return the object with a brush stroke added or taken away; null if nothing is left of it. */
export function withStroke(object, stroke, adds, [width, height]) {
  const current = object.mask && decodeMask(object.mask);
  const whole = current ? combined(current, stroke, adds) : adds ? stroke : null;
  if (!whole) return null;
  const mask = encodeMask(whole, [height, width]);
  return { ...object, ...NO_PROMPT, touched: true, painted: true, mask, box_xyxy: boxOf(whole), mask_score: null };
}

const boxOf = ({ x0, y0, width, height }) => [x0, y0, x0 + width, y0 + height];
