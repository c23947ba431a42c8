// YOLO's segmentation files: one for each image, one line for each object, one outline for all its parts.

import { Problem } from "../api.js";
import { stemOf } from "./labelled.js";
import { shapeOf } from "../masks/mask_shapes.js";
import { joinedRing } from "../masks/outline.js";
import { validationNames } from "./validation_images.js";
import { zip } from "./zip.js";

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
  return [...files, ...imageLists(images), ["data.yaml", `path: ""\ntrain: train.txt\nval: val.txt\nnames:\n${names}`]];
}

/** Return the lists of images to learn from and to validate on; a single image is in both. */
function imageLists(images) {
  const heldOut = validationNames(new Map(images.map((image) => [image.fileName, tagsOf(image)])));
  const train = images.filter(({ fileName }) => !heldOut.has(fileName));
  const val = heldOut.size ? images.filter(({ fileName }) => heldOut.has(fileName)) : train;
  const list = (part) => part.map(({ fileName }) => `./images/${fileName}\n`).join("");
  return [
    ["train.txt", list(train)],
    ["val.txt", list(val)],
  ];
}

const tagsOf = ({ tags, objects }) => (tags.length ? tags : [...new Set(objects.map(({ label }) => label))]);

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
