"""How other tools read annotation files: ports of their rules, each with its source."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from xml.etree import ElementTree as ET

import cv2
import numpy as np
import numpy.typing as npt
from PIL import Image

from weaksam.arrays import Mask

MaskRow = tuple[str, Mask]
BoxRow = tuple[str, tuple[float, float, float, float]]


def even_odd(points_xy: npt.NDArray[np.float64], size_hw: tuple[int, int]) -> Mask:
    """Return the pixels whose centres lie in a polygon: a ray to the left crosses its edges an odd number of times."""
    height, width = size_hw
    y, x = np.mgrid[:height, :width] + 0.5
    inside = np.zeros(size_hw, np.bool_)
    for edge in zip(points_xy.tolist(), np.roll(points_xy, -1, axis=0).tolist(), strict=True):
        # Both ways over a bridge must meet the very same pixels.
        (x0, y0), (x1, y1) = sorted(edge)
        if y0 == y1:
            continue
        between = (y > min(y0, y1)) & (y <= max(y0, y1))
        inside ^= between & (x > x0 + (y - y0) / (y1 - y0) * (x1 - x0))
    return inside


def read_cvat_masks(path: Path) -> list[list[MaskRow]]:
    """CVAT: run lengths row by row inside the box, background first ("CVAT for images 1.1")."""
    images = []
    for image in ET.parse(path).getroot().iter("image"):
        rows = []
        for node in image.iter("mask"):
            left, top, width, height = (int(node.attrib[name]) for name in ("left", "top", "width", "height"))
            lengths = [int(text) for text in node.attrib["rle"].split(",")]
            crop = np.repeat(np.arange(len(lengths)) % 2 == 1, lengths).reshape(height, width)
            mask_hw = np.zeros((int(image.attrib["height"]), int(image.attrib["width"])), np.bool_)
            mask_hw[top : top + height, left : left + width] = crop
            rows.append((node.attrib["label"], mask_hw))
        images.append(rows)
    return images


def decode_brush(data: list[int]) -> npt.NDArray[np.uint8]:
    """Label Studio SDK, `converter.brush.decode_rle`: values of a stream of runs and literals."""
    bits = "".join(f"{byte:08b}" for byte in data)
    at = 0

    def take(count: int) -> int:
        nonlocal at
        at += count
        return int(bits[at - count : at], 2)

    total, word = take(32), take(5) + 1
    sizes = [take(4) + 1 for _ in range(4)]
    values: list[int] = []
    while len(values) < total:
        is_run, length = take(1), take(sizes[take(2)]) + 1
        values += [take(word)] * length if is_run else [take(word) for _ in range(length)]
    return np.array(values, np.uint8)


def read_label_studio_masks(path: Path) -> list[list[MaskRow]]:
    """Label Studio: percent of the image's sides; a brush's mask is the fourth channel of its RGBA values."""
    images = []
    for task in json.loads(path.read_text()):
        rows = []
        for region in task["predictions"][0]["result"]:
            size_hw = region["original_height"], region["original_width"]
            if region["type"] == "brushlabels":
                rgba = decode_brush(region["value"]["rle"]).reshape(*size_hw, 4)
                rows.append((region["value"]["brushlabels"][0], rgba[:, :, 3] > 127))
        images.append(rows)
    return images


def read_labelme_masks(path: Path) -> list[MaskRow]:
    """LabelMe: polygons in pixels; shapes of one `group_id` are one object."""
    document = json.loads(path.read_text())
    size_hw = document["imageHeight"], document["imageWidth"]
    parts: dict[tuple[int, str], Mask] = defaultdict(lambda: np.zeros(size_hw, np.bool_))
    for shape in document["shapes"]:
        assert shape["shape_type"] == "polygon"
        assert len(shape["points"]) >= 3, "LabelMe refuses polygons of fewer points"
        parts[shape["group_id"], shape["label"]] |= even_odd(np.array(shape["points"]), size_hw)
    return [(label, mask_hw) for (_, label), mask_hw in sorted(parts.items())]


def yolo_points(path: Path, size_hw: tuple[int, int]) -> list[tuple[int, npt.NDArray[np.float64]]]:
    """Ultralytics, `verify_image_label`: class, then x and y as shares; at least three corners."""
    rows = []
    for line in path.read_text().splitlines():
        index, *shares = line.split(" ")
        points = np.array(shares, np.float64).reshape(-1, 2)
        assert len(points) >= 3
        assert ((points >= 0) & (points <= 1)).all(), "non-normalized or out of bounds coordinates"
        rows.append((int(index), points * size_hw[::-1]))
    return rows


def read_yolo_outlines(path: Path, names: Sequence[str], size_hw: tuple[int, int]) -> list[MaskRow]:
    """The pixels whose centres lie in each outline."""
    return [(names[index], even_odd(points, size_hw)) for index, points in yolo_points(path, size_hw)]


def fill_as_ultralytics(points_xy: npt.NDArray[np.float64], size_hw: tuple[int, int]) -> Mask:
    """Ultralytics, `polygon2mask`: whole-number corners, `cv2.fillPoly`, which includes the outline's pixels."""
    mask_hw = np.zeros(size_hw, np.uint8)
    return cv2.fillPoly(mask_hw, [points_xy.astype(np.int32)], 1).astype(np.bool_)


def read_yolo_boxes(path: Path, names: list[str], size_hw: tuple[int, int]) -> list[BoxRow]:
    """Ultralytics: class, centre and sides as shares."""
    height, width = size_hw
    rows = []
    for line in path.read_text().splitlines():
        index, x, y, w, h = line.split(" ")
        half_w, half_h = float(w) * width / 2, float(h) * height / 2
        centre_x, centre_y = float(x) * width, float(y) * height
        box = (centre_x - half_w, centre_y - half_h, centre_x + half_w, centre_y + half_h)
        rows.append((names[int(index)], box))
    return rows


def read_voc_boxes(path: Path) -> list[BoxRow]:
    """torchvision, `VOCDetection`: the XML as it stands; VOC's corners count from 1 and are inclusive."""
    rows = []
    for thing in ET.parse(path).getroot().iter("object"):
        corners = [int(thing.findtext(f"bndbox/{name}", "")) for name in ("xmin", "ymin", "xmax", "ymax")]
        rows.append(
            (thing.findtext("name", ""), (corners[0] - 1.0, corners[1] - 1.0, corners[2] + 0.0, corners[3] + 0.0))
        )
    return rows


def read_voc_index(path: Path) -> npt.NDArray[np.uint8]:
    """torchvision, `VOCSegmentation`: the indices of a palette image."""
    with Image.open(path) as png:
        assert png.mode == "P"
        return np.asarray(png)
