// A COCO data set with the masks as compressed run lengths, as pycocotools reads them.

import { shapeOf } from "../masks/mask_shapes.js";
import { areaOf } from "../masks/rle.js";

/** Return the data set as an object; categories have the ids that `weaksam label` gives them. */
function cocoDataset({ labels, info, images }) {
  return {
    info,
    licenses: [],
    categories: labels.map((name, index) => ({ id: index + 1, name, supercategory: "" })),
    images: images.map(({ fileName, width, height, sha256 }, index) => ({
      id: index + 1,
      width,
      height,
      file_name: fileName,
      sha256,
    })),
    annotations: images
      .flatMap(({ objects }, index) => objects.map((object) => annotation(object, index + 1, labels)))
      .map((row, index) => ({ id: index + 1, ...row })),
  };
}

function annotation({ label, score, box_xyxy: [x0, y0, x1, y1], mask, touched, source }, imageId, labels) {
  const shape = shapeOf(mask);
  return {
    image_id: imageId,
    category_id: labels.indexOf(label) + 1,
    bbox: [x0, y0, x1 - x0, y1 - y0],
    area: shape ? areaOf(shape.crop) : (x1 - x0) * (y1 - y0),
    iscrowd: 0,
    ...(shape ? { segmentation: mask } : {}),
    ...(source === "person" ? {} : { score }),
    corrected: touched,
  };
}

export const saveCoco = (labelled) => ({
  name: "dataset.json",
  blob: new Blob([JSON.stringify(cocoDataset(labelled))], { type: "application/json" }),
});
