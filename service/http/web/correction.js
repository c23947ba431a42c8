// From clicks on the image to the next mask of an object.

import { decodeMask, holds } from "./rle.js";

/** Return an object that holds nothing yet, for clicks or a box to fill. */
export const newObject = (label) => ({
  id: `own-${crypto.randomUUID()}`,
  label,
  score: 1,
  box_xyxy: null,
  mask: null,
  mask_score: null,
  source: "person",
  touched: true,
  clicks: [],
  promptBox: null,
  levels: [],
  level: 0,
});

/**
 * Return what `POST /segment` is asked for an object. The box of a detection goes along while all clicks on the object
 * lie in it: the clicks then say what is wrong within it.
 */
export function promptOf({ clicks, promptBox, box_xyxy: boxXyxy, source }) {
  const box = promptBox ?? (source === "person" ? null : boxXyxy);
  const fits = box && clicks.every(([x, y, label]) => !label || inBox(box, [x, y]));
  return { points: clicks, box: fits ? box : null };
}

const inBox = ([x0, y0, x1, y1], [x, y]) => x >= x0 && x < x1 && y >= y0 && y < y1;

/**
 * Return the index of the mask that agrees with most clicks; among equals, the surest.
 * @param {object[]} masks  of a response of `POST /segment`, the surest first
 */
export function bestLevel(masks, clicks) {
  const agreements = masks.map(({ mask }) => {
    const crop = mask && decodeMask(mask);
    return crop ? clicks.filter(([x, y, label]) => holds(crop, [x, y]) === (label === 1)).length : -1;
  });
  return agreements.indexOf(Math.max(...agreements));
}

/** Return the object with the masks of a response, showing one of them. */
export function withMasks(object, masks, level) {
  const { mask, box_xyxy: boxXyxy, predicted_iou: predictedIou } = masks[level];
  return { ...object, touched: true, levels: masks, level, mask, box_xyxy: boxXyxy, mask_score: predictedIou };
}
