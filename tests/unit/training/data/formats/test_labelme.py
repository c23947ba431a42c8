"""LabelMe's shapes beside images: rectangles and polygons are objects, others tags alone."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.unit.training.data.conftest import write_image
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
    turned = shape("rotation", [[0, 0], [9, 9], [0, 9]], "cap")
    dataset = opened(tmp_path, shape("rectangle", [[30, 40], [10, 20]]), shape("rectangle", corners), turned)
    (image,) = dataset.images
    assert dataset.problems == ()
    assert image.tags == ("bolt", "cap", "nut")
    assert [thing.box_xyxy for thing in image.objects] == [(10.0, 20.0, 30.0, 40.0)] * 2
    assert [thing.mask_rle for thing in image.objects] == [None, None]


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


def test_shapes_of_another_size_are_tags_alone(tmp_path: Path) -> None:
    dataset = opened(tmp_path, shape("rectangle", SQUARE), imageWidth=800)
    assert (dataset.images[0].tags, dataset.images[0].objects) == (("bolt", "nut"), ())
    assert "its tags are used, its boxes are left out" in dataset.problems[0].message


def test_a_table_of_tags_comes_before_shapes(tmp_path: Path) -> None:
    (tmp_path / "tags.csv").write_text("file,tags\na.jpg,nut\n")
    (image,) = opened(tmp_path, shape("rectangle", SQUARE)).images
    assert (image.tags, image.objects) == (("nut",), ())
