"""Random masks, with holes, parts and one-pixel things, go through each format and come back."""

from __future__ import annotations

import csv
import json
import tempfile
from pathlib import Path

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from pycocotools import mask as coco_mask
from pycocotools.coco import COCO

from models.masks.drawing import mask_box
from tests.property.test_polygons import MASKS
from tests.support.labelling_tools.format_readers import (
    MaskRow,
    read_cvat_masks,
    read_label_studio_masks,
    read_labelme_masks,
    read_voc_boxes,
    read_voc_index,
    read_yolo_boxes,
    read_yolo_outlines,
    yolo_points,
)
from weaksam.arrays import Mask
from weaksam.formats.coco import annotation_row, category_rows, image_row, write_dataset
from weaksam.formats.convert import FormatName, convert
from weaksam.formats.polygons import mask_iou
from weaksam.formats.run_lengths import encode_rle

LABELS = ["wrench", "bolt & nut", 'Öl: "rot"']
ROWS = st.lists(st.tuples(st.sampled_from(LABELS), MASKS.filter(np.any)), min_size=1, max_size=3)
FEWER = settings(max_examples=12, deadline=None)


def converted(rows: list[MaskRow], to: FormatName, min_fidelity: float = 1.0) -> Path:
    """Store the masks as a labelling run, each in an image of its own, and convert it."""
    folder = Path(tempfile.mkdtemp())
    annotations = [
        annotation_row(number, LABELS.index(label) + 1, box_of(mask_hw), encode_rle(mask_hw), score=0.5)
        for number, (label, mask_hw) in enumerate(rows, start=1)
    ]
    images = [image_row(n, f"day 1/{n}.jpg", size_of(mask_hw)) for n, (_, mask_hw) in enumerate(rows, start=1)]
    write_dataset(folder / "dataset.json", {}, category_rows(LABELS), images, annotations)
    convert(folder, to, folder / "out", min_fidelity)
    return folder / "out"


def assert_equal(read: list[MaskRow], rows: list[MaskRow]) -> None:
    assert [label for label, _ in read] == [label for label, _ in rows]
    for (_, first_hw), (_, second_hw) in zip(read, rows, strict=True):
        assert np.array_equal(first_hw, second_hw)


@FEWER
@given(ROWS)
def test_coco_reads_run_lengths_and_polygons(rows: list[MaskRow]) -> None:
    for to in ("coco", "coco-polygons"):
        coco = COCO(str(converted(rows, to) / "dataset.json"))
        names = {category["id"]: category["name"] for category in coco.dataset["categories"]}
        read = [(names[row["category_id"]], coco.annToMask(row).astype(bool)) for row in coco.dataset["annotations"]]
        assert_equal(read, rows)


@FEWER
@given(ROWS)
def test_coco_takes_the_results(rows: list[MaskRow]) -> None:
    out = converted(rows, "coco-results")
    results = COCO(str(out.parent / "dataset.json")).loadRes(str(out / "results.json"))
    read = [coco_mask.decode(row["segmentation"]).astype(bool) for row in results.dataset["annotations"]]
    assert_equal([(label, mask_hw) for (label, _), mask_hw in zip(rows, read, strict=True)], rows)


@FEWER
@given(ROWS)
def test_cvat_reads_run_lengths(rows: list[MaskRow]) -> None:
    assert_equal([row for image in read_cvat_masks(converted(rows, "cvat") / "annotations.xml") for row in image], rows)


@FEWER
@given(ROWS)
def test_label_studio_reads_brushes(rows: list[MaskRow]) -> None:
    images = read_label_studio_masks(converted(rows, "labelstudio") / "tasks.json")
    assert_equal([row for image in images for row in image], rows)


@FEWER
@given(ROWS)
def test_labelme_reads_polygons(rows: list[MaskRow]) -> None:
    out = converted(rows, "labelme")
    assert_equal([row for n in range(len(rows)) for row in read_labelme_masks(out / f"day 1/{n + 1}.json")], rows)


@FEWER
@given(ROWS)
def test_yolo_reads_outlines(rows: list[MaskRow]) -> None:
    out = converted(rows, "yolo-seg")
    for number, row in enumerate(rows, start=1):
        assert_equal(read_yolo_outlines(out / f"labels/day 1/{number}.txt", LABELS, size_of(row[1])), [row])


@FEWER
@given(ROWS)
def test_yolo_reads_boxes(rows: list[MaskRow]) -> None:
    out = converted(rows, "yolo")
    for number, (label, mask_hw) in enumerate(rows, start=1):
        [(name, box)] = read_yolo_boxes(out / f"labels/day 1/{number}.txt", LABELS, size_of(mask_hw))
        assert name == label
        assert np.allclose(box, mask_box(mask_hw), atol=1e-3)


@FEWER
@given(ROWS)
def test_voc_reads_boxes_and_indices(rows: list[MaskRow]) -> None:
    out = converted(rows, "voc")
    for number, (label, mask_hw) in enumerate(rows, start=1):
        assert read_voc_boxes(out / f"Annotations/day 1/{number}.xml") == [(label, box_of(mask_hw))]
        classes = read_voc_index(out / f"SegmentationClass/day 1/{number}.png")
        assert np.array_equal(classes, mask_hw * np.uint8(LABELS.index(label) + 1))
        assert np.array_equal(read_voc_index(out / f"SegmentationObject/day 1/{number}.png") == 1, mask_hw)


@FEWER
@given(ROWS)
def test_png_files_hold_the_masks(rows: list[MaskRow]) -> None:
    out = converted(rows, "png")
    with (out / "masks.csv").open(encoding="utf-8", newline="") as file:
        table = list(csv.DictReader(file))
    assert_equal([(row["label"], read_png(out / row["file"])) for row in table], rows)


@FEWER
@given(ROWS, st.floats(0.5, 0.99))
def test_coco_polygons_tell_what_is_lost(rows: list[MaskRow], min_fidelity: float) -> None:
    document = json.loads((converted(rows, "coco-polygons", min_fidelity) / "dataset.json").read_text())
    for row, (_, mask_hw) in zip(document["annotations"], rows, strict=True):
        iou = mask_iou(read_polygons(row["segmentation"], mask_hw), mask_hw)
        assert iou >= min_fidelity
        assert abs(iou - row["fidelity_iou"]) < 1e-6


@FEWER
@given(MASKS.filter(np.any), st.floats(0.5, 0.99))
def test_yolo_outlines_tell_what_is_lost(mask_hw: Mask, min_fidelity: float) -> None:
    out = converted([(LABELS[0], mask_hw)], "yolo-seg", min_fidelity)
    told = json.loads((out / "conversion.json").read_text())["fidelity_iou"]["lowest"]
    [(_, points)] = yolo_points(out / "labels/day 1/1.txt", size_of(mask_hw))
    assert told >= min_fidelity
    assert abs(mask_iou(read_polygons([points.ravel().tolist()], mask_hw), mask_hw) - told) < 1e-9


def read_polygons(flat: list[list[float]], mask_hw: Mask) -> Mask:
    """Return the pixels that pycocotools finds in polygons, on an image of the size of `mask_hw`."""
    height, width = mask_hw.shape
    read_hw: Mask = coco_mask.decode(coco_mask.merge(coco_mask.frPyObjects(flat, height, width))).astype(np.bool_)
    return read_hw


def read_png(path: Path) -> Mask:
    with Image.open(path) as png:
        assert png.mode == "L"
        return np.asarray(png).astype(bool)


def box_of(mask_hw: Mask) -> tuple[float, float, float, float]:
    x0, y0, x1, y1 = map(float, mask_box(mask_hw))
    return x0, y0, x1, y1


def size_of(mask_hw: Mask) -> tuple[int, int]:
    return mask_hw.shape[0], mask_hw.shape[1]
