// YOLO's segmentation files: one for each image, one line for each object, one outline for all its parts.

import { Problem } from "../api.js";
import { stemOf } from "./labelled.js";
import { shapeOf } from "../masks/mask_shapes.js";
import { joinedRing } from "../masks/outline.js";
import { zip } from "./zip.js";

const IMAGE_LIST = "images.txt";

/**
 * Return the files by name. The outlines follow the edges of the pixels, so no pixel is lost.
 * @throws {Problem} two images differ in their suffixes alone
 */
function yoloFiles({ labels, images }) {
  checkNames(images);
  const files = images.map(({ fileName, objects, ...size }) => [
    `labels/${stemOf(fileName)}.txt`,
    objects.map((object) => line(object, size, labels)).join(""),
  ]);
  const names = labels.map((name, index) => `  ${index}: ${JSON.stringify(name)}\n`).join("");
  return [
    ...files,
    [IMAGE_LIST, images.map(({ fileName }) => `./images/${fileName}\n`).join("")],
    ["data.yaml", `path: ""\ntrain: ${IMAGE_LIST}\nval: ${IMAGE_LIST}\nnames:\n${names}`],
  ];
}

function checkNames(images) {
  const taken = new Map();
  for (const { fileName } of images) {
    const stem = stemOf(fileName);
    if (taken.has(stem))
      throw new Problem({
        title: "Two images would have one file of labels",
        detail: `${taken.get(stem)} and ${fileName} would both become ${stem}.txt: rename one, or save as COCO.`,
        code: "same_label_file",
      });
    taken.set(stem, fileName);
  }
}

function line(object, { width, height }, labels) {
  const shares = cornersOf(object).flatMap(([x, y]) => [x / width, y / height]);
  return `${labels.indexOf(object.label)} ${shares.map((share) => share.toFixed(6)).join(" ")}\n`;
}

function cornersOf({ mask, box_xyxy: [x0, y0, x1, y1] }) {
  const shape = shapeOf(mask);
  return shape
    ? joinedRing(shape.rings)
    : [
        [x0, y0],
        [x1, y0],
        [x1, y1],
        [x0, y1],
      ];
}

export const saveYolo = (labelled) => ({
  name: "yolo.zip",
  blob: zip(yoloFiles(labelled).map(([name, text]) => [name, new TextEncoder().encode(text)])),
});
