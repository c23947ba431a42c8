// What is saved: the finished images of the page in one form, for every file format.

import { objectsOf } from "../state.js";

/**
 * Return the finished images with their objects.
 * @returns {{labels: string[], info: object, images: object[]}}  images are
 *   `{fileName, width, height, sha256, tags, objects}`, boxes xyxy half-open in pixels of the upright image
 */
export function labelledSet({ items, labels, bundle }) {
  const images = items
    .filter(({ image }) => image)
    .map((item) => ({
      fileName: item.name,
      width: item.image.width,
      height: item.image.height,
      sha256: item.image.sha256,
      tags: item.tags,
      objects: objectsOf(item).filter(({ box_xyxy: box }) => box),
    }));
  const info = { description: "Labelled with weaksam", date_created: new Date().toISOString(), bundle };
  const names = labels.map(({ name }) => name);
  // Of a bundle that was served when the page had asked another one for its labels.
  const others = images.flatMap(({ objects }) => objects.map(({ label }) => label));
  return { labels: [...new Set([...names, ...others])], info, images };
}

/** Return a file name without its suffix. */
export const stemOf = (fileName) => fileName.replace(/\.[^.]*$/, "");
