// Masks as shapes to draw and to hit, made once for each mask.

import { ringsOf } from "./outline.js";
import { decodeMask } from "./rle.js";

const shapes = new WeakMap();

/** Return `{crop, rings, path}` of a mask of run lengths, or null if there is none or it is empty. */
export function shapeOf(mask) {
  if (!mask) return null;
  if (!shapes.has(mask)) shapes.set(mask, makeShape(mask));
  return shapes.get(mask);
}

function makeShape(mask) {
  const crop = decodeMask(mask);
  if (!crop) return null;
  const rings = ringsOf(crop);
  const path = new Path2D();
  for (const ring of rings) {
    path.moveTo(...ring[0]);
    for (const corner of ring.slice(1)) path.lineTo(...corner);
    path.closePath();
  }
  return { crop, rings, path };
}
