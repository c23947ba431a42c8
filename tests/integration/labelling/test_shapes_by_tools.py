"""Turned rectangles and circles of labelling tools: read by us as the tools' own code reads them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from PIL import Image

from tests.support.label_studio.server import rectangle_corners_px
from tests.support.labelling_tools.environment import run_in_tools
from training.data.open_dataset import open_dataset
from training.data.tagged import TrueObject
from weaksam.arrays import Mask
from weaksam.formats.polygons import mask_iou, polygons_to_mask
from weaksam.formats.run_lengths import decode_rle

SIZE_HW = (120, 200)
ANGLES_DEG = (-45, 30, 90, 150, 200, 335)
TURNED = [[100.0, 20.0], [140.0, 50.0], [110.0, 90.0], [70.0, 60.0]]
SHAPES: list[tuple[str, str, list[list[float]]]] = [
    ("labelme", "circle", [[80.0, 60.0], [110.0, 80.0]]),
    ("labelme", "oriented_rectangle", TURNED),
    ("x-anylabeling", "circle", [[80.0, 60.0], [80.0, 22.0]]),
    ("x-anylabeling", "rotation", TURNED),
    ("x-anylabeling", "quadrilateral", [[20.0, 20.0], [150.0, 30.0], [160.0, 100.0], [30.0, 90.0]]),
]


def objects_read(root: Path, document: Any) -> tuple[TrueObject, ...]:
    """What is read of an annotation file beside one image."""
    Image.new("RGB", SIZE_HW[::-1]).save(root / "a.jpg")
    (root / ("a.json" if isinstance(document, dict) else "project.json")).write_text(json.dumps(document))
    dataset = open_dataset(root, "train")
    assert dataset.problems == ()
    return dataset.images[0].objects


def mask_of(thing: TrueObject) -> Mask:
    assert thing.mask_rle is not None
    return decode_rle(thing.mask_rle)


def grown(mask_hw: Mask) -> Mask:
    return cv2.dilate(mask_hw.astype(np.uint8), np.ones((3, 3), np.uint8)).astype(np.bool_)


def test_turned_rectangles_of_label_studio_have_its_corners(tmp_path: Path) -> None:
    place = {"x": 45, "y": 40, "width": 15, "height": 20, "original_width": SIZE_HW[1], "original_height": SIZE_HW[0]}
    values = [{**place, "rotation": angle, "rectanglelabels": ["bolt"]} for angle in ANGLES_DEG]
    found = objects_read(tmp_path, [{"id": 1, "image": "a.jpg", "label": values}])
    for thing, corners in zip(found, rectangle_corners_px(values), strict=True):
        assert thing.box_xyxy == pytest.approx((*corners.min(axis=0), *corners.max(axis=0)))
        assert np.array_equal(mask_of(thing), polygons_to_mask([corners], SIZE_HW))


def test_circles_and_turned_rectangles_are_filled_as_labelme_and_x_anylabeling_fill_them(tmp_path: Path) -> None:
    """Their fill covers the outline's pixels too, so the edges of masks differ by up to a pixel."""
    work = {"shapes": SHAPES, "size_hw": SIZE_HW, "masks": str(tmp_path / "masks.npy")}
    run_in_tools("shape_filler.py", work, tmp_path)
    shapes = [{"label": "bolt", "shape_type": kind, "points": points} for _, kind, points in SHAPES]
    size = {"imageHeight": SIZE_HW[0], "imageWidth": SIZE_HW[1]}
    found = objects_read(tmp_path, {"shapes": shapes, **size})
    for thing, filled_hw in zip(found, np.load(tmp_path / "masks.npy"), strict=True):
        mask_hw = mask_of(thing)
        assert not (mask_hw & ~grown(filled_hw)).any()
        assert not (filled_hw & ~grown(mask_hw)).any()
        assert mask_iou(mask_hw, filled_hw) > 0.93
