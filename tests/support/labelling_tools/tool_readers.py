"""Read converted runs by the labelling tools' own code, in the environment that `make tools` installs.

A program of its own: it reads JSON `{"folders": {FORMAT: folder}, "out": folder, "count", "size_hw"}` from stdin. Each
folder holds `count` images, 1.jpg, 2.jpg, ..., each with one object. It writes `out/FORMAT.npz`, masks [count,H,W] by
`masks`, and `{FORMAT: labels}`.
"""

from __future__ import annotations

import json
import runpy
import shutil
import sys
import sysconfig
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import numpy as np
import supervision
from anylabeling.views.labeling.label_file import LabelFile
from cvat_sdk.masks import decode_mask
from labelme._label_file import read_label_file
from labelme.utils import shape_to_mask
from PIL import Image
from torchvision.datasets import VOCSegmentation

Row = tuple[str, Any]


def label_studio(folder: Path, count: int) -> Iterable[Row]:
    """Label Studio's converter of brushes, without the rest of its SDK, whose imports are many."""
    decode_rle = runpy.run_path(f"{sysconfig.get_path('purelib')}/label_studio_sdk/converter/brush.py")["decode_rle"]
    for task in json.loads((folder / "tasks.json").read_text()):
        [region] = task["predictions"][0]["result"]
        rgba = decode_rle(region["value"]["rle"])
        mask_hw = np.reshape(rgba, (region["original_height"], region["original_width"], 4))[:, :, 3] > 0
        yield region["value"]["brushlabels"][0], mask_hw


def cvat(folder: Path, count: int) -> Iterable[Row]:
    """CVAT's SDK; the XML has the corners as left, top, width and height."""
    for image in ET.parse(folder / "annotations.xml").getroot().iter("image"):
        [node] = image.iter("mask")
        left, top, width, height = (int(node.attrib[name]) for name in ("left", "top", "width", "height"))
        points = [*map(int, node.attrib["rle"].split(",")), left, top, left + width - 1, top + height - 1]
        size = {"image_width": int(image.attrib["width"]), "image_height": int(image.attrib["height"])}
        yield node.attrib["label"], decode_mask(points, **size)


def labelme(folder: Path, count: int) -> Iterable[Row]:
    """LabelMe's reader and its own fill, which covers the outline too."""
    for number in range(1, count + 1):
        read = read_label_file(str(folder / f"{number}.json"))
        shapes = [shape if isinstance(shape, dict) else vars(shape) for shape in read.shapes]
        yield _union(shapes, Image.open(folder / f"{number}.jpg").size[::-1])


def x_anylabeling(folder: Path, count: int) -> Iterable[Row]:
    """X-AnyLabeling's reader; filled as LabelMe does."""
    for number in range(1, count + 1):
        read = LabelFile(str(folder / f"{number}.json"), str(folder))
        yield _union([shape.to_dict() for shape in read.shapes], Image.open(folder / f"{number}.jpg").size[::-1])


def _union(shapes: list[dict[str, Any]], size_hw: tuple[int, int]) -> Row:
    assert len({shape["group_id"] for shape in shapes}) == 1, "the parts of one object"
    masks = [shape_to_mask(size_hw, [list(point) for point in shape["points"]], "polygon") for shape in shapes]
    return shapes[0]["label"], np.any(masks, axis=0)


def roboflow(folder: Path, count: int) -> Iterable[Row]:
    """supervision, which reads Roboflow's responses."""
    for number in range(1, count + 1):
        found = supervision.Detections.from_inference(json.loads((folder / f"{number}.json").read_text()))
        yield str(found.data["class_name"][0]), found.mask[0]


def voc(folder: Path, count: int) -> Iterable[Row]:
    """torchvision's data set, in the layout that it looks for."""
    root = folder / "VOCdevkit" / "VOC2012"
    for name in ("Annotations", "ImageSets", "SegmentationClass"):
        shutil.copytree(folder / name, root / name)
    (root / "JPEGImages").mkdir()
    for number in range(1, count + 1):
        shutil.copy(folder / f"{number}.jpg", root / "JPEGImages")
    labels = (folder / "labels.txt").read_text().splitlines()
    for _, target in VOCSegmentation(str(folder), year="2012", image_set="trainval"):
        index = np.asarray(target)
        [class_] = set(np.unique(index).tolist()) - {0, 255}
        yield labels[class_ - 1], index == class_


READERS: dict[str, tuple[str, Callable[[Path, int], Iterable[Row]]]] = {
    "labelstudio": ("labelstudio", label_studio),
    "cvat": ("cvat", cvat),
    "labelme": ("labelme", labelme),
    "x-anylabeling": ("labelme", x_anylabeling),
    "roboflow": ("roboflow", roboflow),
    "voc": ("voc", voc),
}


def main() -> None:
    """Read each given format by each tool that reads it."""
    work = json.load(sys.stdin)
    labels = {}
    for reader, (name, read) in READERS.items():
        if name not in work["folders"]:
            continue
        folder = Path(work["folders"][name])
        for number in range(1, work["count"] + 1):
            Image.new("RGB", work["size_hw"][::-1]).save(folder / f"{number}.jpg")
        rows = list(read(folder, work["count"]))
        labels[reader] = [label for label, _ in rows]
        np.savez_compressed(Path(work["out"]) / f"{reader}.npz", masks=np.array([mask_hw for _, mask_hw in rows]))
    json.dump(labels, sys.stdout)


if __name__ == "__main__":
    main()
