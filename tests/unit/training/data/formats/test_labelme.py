"""LabelMe's shapes beside images: rectangles and outlines are objects, points and lines tags alone."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.unit.training.data.conftest import write_image
from training.data.formats.labelme import FOUR_CORNERS
from training.data.open_dataset import open_dataset
from training.data.tagged import TaggedDataset
from weaksam.formats.run_lengths import decode_rle

SQUARE = [[2, 3], [6, 3], [6, 7], [2, 7]]


def shape(kind: str, points: Any, label: str = "bolt", group: int | None = None) -> dict[str, Any]:
    return {"label": label, "shape_type": kind, "points": points, "group_id": group}


def opened(root: Path, *shapes: Any, **more: Any) -> TaggedDataset:
    write_image(root / "a.jpg")
    document = {"flags": {"nut": True}, "shapes": shapes, "imageHeight": 60, "imageWidth": 80, **more}
    (root / "a.json").write_text(json.dumps(document))
    return open_dataset(root, "train")


def test_rectangles_and_polygons_are_objects(tmp_path: Path) -> None:
    corners = [[10, 20], [30, 20], [30, 40], [10, 40]]  # as X-AnyLabeling writes a rectangle
    line = shape("line", [[0, 0], [9, 9]], "cap")
    dataset = opened(tmp_path, shape("rectangle", [[30, 40], [10, 20]]), shape("rectangle", corners), line)
    (image,) = dataset.images
    assert dataset.problems == ()
    assert image.tags == ("bolt", "cap", "nut")
    assert [thing.box_xyxy for thing in image.objects] == [(10.0, 20.0, 30.0, 40.0)] * 2
    assert [thing.mask_rle for thing in image.objects] == [None, None]


def test_circles_and_turned_rectangles_are_objects(tmp_path: Path) -> None:
    diamond = [[20, 10], [30, 20], [20, 30], [10, 20]]
    shapes = [shape("circle", [[40, 30], [46, 38]]), *(shape(kind, diamond) for kind in FOUR_CORNERS)]
    dataset = opened(tmp_path, *shapes)
    (image,) = dataset.images
    assert dataset.problems == ()
    circle, *turned = image.objects
    assert circle.box_xyxy == pytest.approx((30, 20, 50, 40))
    assert [thing.box_xyxy for thing in turned] == [(10.0, 10.0, 30.0, 30.0)] * 3
    masks = [decode_rle(thing.mask_rle) for thing in image.objects if thing.mask_rle is not None]
    assert [mask_hw.sum() for mask_hw in masks] == pytest.approx([100 * math.pi, 200, 200, 200], rel=0.05)
    assert not any(mask_hw[12, 12] for mask_hw in masks)  # a corner of the diamond's box


def test_outlines_of_one_group_are_one_object(tmp_path: Path) -> None:
    ball = shape("circle", [[40, 30], [40, 35]], group=1)
    (thing,) = opened(tmp_path, shape("polygon", SQUARE, group=1), ball).images[0].objects
    assert thing.box_xyxy == pytest.approx((2, 3, 45, 35))


@pytest.mark.parametrize(
    ("kind", "points", "wanted"),
    [
        ("circle", [[40, 30]], "its centre and a point on its rim"),
        ("circle", [[40, 30], [40, 30]], "its centre and a point on its rim"),
        ("circle", [[40, 30], [math.nan, 30]], "its centre and a point on its rim"),
        ("circle", [[0, 0], [1e300, 0]], "its centre and a point on its rim"),
        ("rotation", SQUARE[:3], "its four corners"),
        ("oriented_rectangle", [*SQUARE, [0, 0]], "its four corners"),
    ],
)
def test_impossible_circles_and_turned_rectangles_are_reported(
    tmp_path: Path, kind: str, points: Any, wanted: str
) -> None:
    dataset = opened(tmp_path, shape(kind, points))
    assert (dataset.images[0].tags, dataset.images[0].objects) == (("bolt", "nut"), ())
    assert [(problem.file, problem.field, problem.message) for problem in dataset.problems] == [
        ("a.json", "shapes[0]", f"{points} is not the place of a {kind}, in numbers: write {wanted}; it is a tag alone")
    ]


def test_polygons_of_one_group_are_one_object(tmp_path: Path) -> None:
    other = [[x + 20, y] for x, y in SQUARE]
    parts = [shape("polygon", SQUARE, group=1), shape("polygon", other, group=1), shape("polygon", SQUARE)]
    (image,) = opened(tmp_path, *parts).images
    whole, alone = image.objects
    assert (whole.box_xyxy, alone.box_xyxy) == ((2.0, 3.0, 26.0, 7.0), (2.0, 3.0, 6.0, 7.0))
    assert whole.mask_rle is not None
    assert alone.mask_rle is not None
    expected_hw = np.zeros((60, 80), bool)
    expected_hw[3:7, 2:6] = True
    assert np.array_equal(decode_rle(alone.mask_rle), expected_hw)
    assert np.array_equal(decode_rle(whole.mask_rle), expected_hw | np.roll(expected_hw, 20, axis=1))


@pytest.mark.parametrize("points", [None, [], "[[1, 2]]", [[1, 2, 3]], [["x", 2], [3, 4]], [[1e999, 0], [0, 0]]])
def test_a_place_that_is_not_in_numbers_is_reported(tmp_path: Path, points: Any) -> None:
    dataset = opened(tmp_path, shape("rectangle", SQUARE, "nut"), shape("polygon", points))
    assert [image.tags for image in dataset.images] == [("bolt", "nut")]
    assert [thing.label for thing in dataset.images[0].objects] == ["nut"]
    assert [(problem.file, problem.field) for problem in dataset.problems] == [("a.json", "shapes[1]")]
    assert dataset.problems[0].message.endswith("is not the place of a polygon, in numbers; it is a tag alone")


@pytest.mark.parametrize("label", [None, "", " ", ["bolt"]])
def test_a_shape_without_a_name_is_reported_and_no_negative(tmp_path: Path, label: Any) -> None:
    write_image(tmp_path / "b.jpg")
    (tmp_path / "b.txt").write_text("bolt")
    dataset = opened(tmp_path, shape("rectangle", SQUARE, label), flags={})
    assert [(image.path.name, image.tags) for image in dataset.images] == [("b.jpg", ("bolt",))]
    assert ("a.json", "shapes[0]", "there is no class name; left out") in [
        (problem.file, problem.field, problem.message) for problem in dataset.problems
    ]


def test_shapes_of_another_size_are_tags_alone(tmp_path: Path) -> None:
    dataset = opened(tmp_path, shape("rectangle", SQUARE), imageWidth=800)
    assert (dataset.images[0].tags, dataset.images[0].objects) == (("bolt", "nut"), ())
    assert "its tags are used, its boxes are left out" in dataset.problems[0].message


def test_a_table_of_tags_comes_before_shapes(tmp_path: Path) -> None:
    (tmp_path / "tags.csv").write_text("file,tags\na.jpg,nut\n")
    (image,) = opened(tmp_path, shape("rectangle", SQUARE)).images
    assert (image.tags, image.objects) == (("nut",), ())
