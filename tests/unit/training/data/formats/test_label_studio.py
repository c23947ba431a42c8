"""Label Studio's exports: choices and regions, uploaded files, tasks without an answer."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image

from tests.unit.training.data.conftest import write_image
from training.data.open_dataset import open_dataset
from weaksam.formats.label_studio_regions import brush_run_lengths
from weaksam.formats.run_lengths import decode_rle


def task(image: str, *results: Any, **more: Any) -> dict[str, Any]:
    return {"id": 1, "data": {"image": image}, "annotations": [{"id": 2, "result": list(results)}], **more}


def choices(*names: str) -> dict[str, Any]:
    return {"type": "choices", "from_name": "tags", "to_name": "image", "value": {"choices": list(names)}}


RECTANGLE: dict[str, Any] = {
    "type": "rectanglelabels",
    "original_width": 80,
    "original_height": 60,
    "value": {"x": 25, "y": 50, "width": 50, "height": 25, "rotation": 0, "rectanglelabels": ["nut"]},
}


def write(root: Path, tasks: list[Any], *images: str) -> Path:
    for name in images:
        write_image(root / name)
    (root / "project-1-at-2026-11-28.json").write_text(json.dumps(tasks))
    return root


def tags(root: Path) -> dict[str, tuple[str, ...]]:
    return {image.path.name: image.tags for image in open_dataset(root, "train").images}


@pytest.mark.parametrize(
    ("written", "stored"),
    [
        pytest.param("/data/upload/1/0a1b2c3d-a.jpg", "a.jpg", id="uploaded"),
        pytest.param("/data/upload/1/0a1b2c3d-a.jpg", "0a1b2c3d-a.jpg", id="uploaded and kept"),
        pytest.param("/data/local-files/?d=photos/day1/a.jpg", "day1/a.jpg", id="local files"),
        pytest.param("https://host/bucket/my%20photo.jpg?sig=1", "images/my photo.jpg", id="url"),
        pytest.param("s3://bucket/a.jpg", "a.jpg", id="bucket"),
    ],
)
def test_images_are_found(tmp_path: Path, written: str, stored: str) -> None:
    root = write(tmp_path, [task(written, choices("bolt", "nut"))], stored)
    assert tags(root) == {Path(stored).name: ("bolt", "nut")}


def test_regions_are_tags_and_objects(tmp_path: Path) -> None:
    polygon = {"type": "polygonlabels", "value": {"points": [[0, 0], [50, 0], [50, 50]], "polygonlabels": ["cap"]}}
    root = write(tmp_path, [task("a.jpg", RECTANGLE, polygon, {"type": "textarea", "value": {"text": ["x"]}})], "a.jpg")
    (image,) = open_dataset(root, "train").images
    assert image.tags == ("cap", "nut")
    assert [thing.box_xyxy for thing in image.objects] == [(20.0, 30.0, 60.0, 45.0), (0.0, 0.0, 40.0, 30.0)]


SIZE = {"original_width": 80, "original_height": 60}
TURNED = {"x": 50, "y": 20, "width": 25, "height": 20, "rotation": 30, "rectanglelabels": ["nut"]}
ELLIPSE = {"x": 50, "y": 50, "radiusX": 25, "radiusY": 10, "rotation": 30, "ellipselabels": ["cap"]}


def test_turned_rectangles_and_ellipses_are_objects(tmp_path: Path) -> None:
    rows = [{**SIZE, "value": value} for value in (TURNED, ELLIPSE, {**ELLIPSE, "rotation": 0})]
    dataset = open_dataset(write(tmp_path, [task("a.jpg", *rows)], "a.jpg"), "train")
    (image,) = dataset.images
    rectangle, ellipse, upright = image.objects
    root_3 = math.sqrt(3)
    # 20x12 pixels, whose corner at 40, 12 stays: turned in percent, the right one would lie 2.5 pixels higher.
    assert rectangle.box_xyxy == pytest.approx((40 - 6, 12, 40 + 10 * root_3, 12 + 10 + 6 * root_3))
    half_wide, half_high = math.hypot(10 * root_3, 3), math.hypot(10, 3 * root_3)  # of radii of 20 and 6 pixels
    expected = (40 - half_wide, 30 - half_high, 40 + half_wide, 30 + half_high)
    assert ellipse.box_xyxy == pytest.approx(expected, abs=0.001)
    assert upright.box_xyxy == pytest.approx((20, 24, 60, 36))
    masks = [decode_rle(thing.mask_rle) for thing in image.objects if thing.mask_rle is not None]
    assert [mask_hw.sum() for mask_hw in masks] == pytest.approx([240, 120 * math.pi, 120 * math.pi], rel=0.02)
    assert [mask_hw[38, 54] for mask_hw in masks] == [False, True, False]  # clockwise: the right end is below
    assert dataset.problems == ()


# As Label Studio 1.23 stored it: the picture of 400x200 pixels was turned to the right, and a rectangle drawn around a
# block that reaches from 40, 20 to 80, 60 in the file.
DRAWN_ON_A_TURNED_PICTURE = {
    "original_width": 400,
    "original_height": 200,
    "image_rotation": 90,
    "value": {
        "x": 9.987669543773121,
        "y": 10.11097410604191,
        "width": 9.987669543773121,
        "height": 19.97533908754624,
        "rotation": 0,
        "rectanglelabels": ["nut"],
    },
    "type": "rectanglelabels",
}


def test_places_are_those_of_the_picture_that_is_not_turned_on_the_screen(tmp_path: Path) -> None:
    Image.new("RGB", (400, 200)).save(tmp_path / "a.jpg")
    dataset = open_dataset(write(tmp_path, [task("a.jpg", DRAWN_ON_A_TURNED_PICTURE)]), "train")
    (thing,) = dataset.images[0].objects
    assert thing.box_xyxy == pytest.approx((40, 20, 80, 60), abs=0.5)
    assert dataset.problems == ()


def test_turned_regions_of_json_min_are_objects(tmp_path: Path) -> None:
    root = write(tmp_path, [{"id": 1, "image": "a.jpg", "label": [{**TURNED, **SIZE}, {**ELLIPSE, **SIZE}]}], "a.jpg")
    (image,) = open_dataset(root, "train").images
    assert [(thing.label, thing.mask_rle is not None) for thing in image.objects] == [("nut", True), ("cap", True)]


@pytest.mark.parametrize(
    ("value", "words"),
    [
        pytest.param({**ELLIPSE, "radiusX": -3}, "radiusX is -3: write a number above 0", id="below zero"),
        pytest.param({**ELLIPSE, "radiusY": 0}, "radiusY is 0: write a number above 0", id="flat"),
        pytest.param({**ELLIPSE, "x": math.nan}, "x is nan: write a number from -1e9 to 1e9", id="nowhere"),
        pytest.param({**ELLIPSE, "rotation": "left"}, "rotation is 'left': write a number", id="no angle"),
        pytest.param({**TURNED, "width": -25}, "width is -25: write a number above 0", id="inside out"),
        pytest.param({**TURNED, "height": "high"}, "height is 'high': write a number", id="no number"),
    ],
)
def test_impossible_turned_regions_are_reported(tmp_path: Path, value: Any, words: str) -> None:
    dataset = open_dataset(write(tmp_path, [task("a.jpg", {**SIZE, "value": value})], "a.jpg"), "train")
    assert (len(dataset.images[0].tags), dataset.images[0].objects) == (1, ())
    (problem,) = dataset.problems
    assert (problem.file, problem.field) == ("project-1-at-2026-11-28.json", "task 1")
    assert problem.message.startswith(words)
    assert problem.message.endswith("; the region is a tag alone")


def test_a_turned_region_outside_of_the_image_is_left_out(tmp_path: Path) -> None:
    far = {**SIZE, "value": {**TURNED, "x": 150}}
    dataset = open_dataset(write(tmp_path, [task("a.jpg", far)], "a.jpg"), "train")
    assert (dataset.images[0].tags, dataset.images[0].objects) == (("nut",), ())
    assert "has no area in a 80x60 image" in dataset.problems[0].message


def test_only_what_is_turned_needs_the_size(tmp_path: Path) -> None:
    rows = [{"value": TURNED}, {"value": {**ELLIPSE, "rotation": 0}}]
    dataset = open_dataset(write(tmp_path, [task("a.jpg", *rows)], "a.jpg"), "train")
    assert [thing.box_xyxy for thing in dataset.images[0].objects] == [pytest.approx((20, 24, 60, 36))]
    (problem,) = dataset.problems
    assert problem.message == (
        "it is turned by 30 degrees, and the rows do not say one size, `original_width` and `original_height`; the "
        "region is a tag alone"
    )


def test_tasks_for_import_are_no_negatives(tmp_path: Path) -> None:
    predicted = {"data": {"image": "a.jpg"}, "predictions": [{"result": [RECTANGLE]}]}
    dataset = open_dataset(write(tmp_path, [predicted, task("b.jpg", choices("nut"))], "a.jpg", "b.jpg"), "train")
    assert [image.path.name for image in dataset.images] == ["b.jpg"]
    assert [(problem.file, problem.message) for problem in dataset.problems] == [
        ("a.jpg", "the task has no annotation; the image is left out")
    ]


def stroke() -> npt.NDArray[np.bool_]:
    mask_hw = np.zeros((60, 80), bool)
    mask_hw[10:20, 5:40] = mask_hw[30:33, 60:80] = True
    return mask_hw


def brush(data: Any, label: str = "cap", **size: int) -> dict[str, Any]:
    value = {"format": "rle", "rle": data, "brushlabels": [label]}
    return {"type": "brushlabels", "original_width": 80, "original_height": 60, **size, "value": value}


def test_brush_strokes_are_masks(tmp_path: Path) -> None:
    root = write(tmp_path, [task("a.jpg", brush(brush_run_lengths(stroke())), RECTANGLE)], "a.jpg")
    (image,) = open_dataset(root, "train").images
    assert [(thing.label, thing.box_xyxy) for thing in image.objects] == [
        ("cap", (5.0, 10.0, 80.0, 33.0)),
        ("nut", (20.0, 30.0, 60.0, 45.0)),
    ]
    assert image.objects[0].mask_rle is not None
    assert np.array_equal(decode_rle(image.objects[0].mask_rle), stroke())


def test_brush_strokes_of_json_min_are_masks(tmp_path: Path) -> None:
    row = brush(brush_run_lengths(stroke()))
    value = {**row["value"], "original_width": 80, "original_height": 60}
    root = write(tmp_path, [{"id": 1, "image": "a.jpg", "masks": [value]}], "a.jpg")
    (image,) = open_dataset(root, "train").images
    assert image.objects[0].mask_rle is not None
    assert np.array_equal(decode_rle(image.objects[0].mask_rle), stroke())


@pytest.mark.parametrize(
    ("region", "words"),
    [
        pytest.param(brush(brush_run_lengths(stroke())[:-3]), "the bytes end early", id="cut off"),
        pytest.param(brush(brush_run_lengths(stroke()), original_width=81), "81x60 pixels", id="of another size"),
        pytest.param(brush([]), "the bytes end early", id="empty"),
        pytest.param(brush("3,4"), "its brush strokes cannot be read", id="no list"),
        pytest.param(brush([300]), "its brush strokes cannot be read", id="no byte"),
    ],
)
def test_brush_strokes_that_cannot_be_read_are_reported(tmp_path: Path, region: dict[str, Any], words: str) -> None:
    dataset = open_dataset(write(tmp_path, [task("a.jpg", region)], "a.jpg"), "train")
    assert (dataset.images[0].tags, dataset.images[0].objects) == (("cap",), ())
    assert dataset.problems[0].field == "task 1"
    assert words in dataset.problems[0].message
    assert dataset.problems[0].message.endswith("the region is a tag alone")


def test_a_region_of_what_is_no_number_is_reported_and_a_key_point_is_not(tmp_path: Path) -> None:
    point = {"type": "keypointlabels", "value": {"x": 1, "y": 2, "width": 1, "keypointlabels": ["bolt"]}}
    torn = {"type": "polygonlabels", "value": {"points": "[[0, 0], [5, 0]]", "polygonlabels": ["cap"]}}
    place = {"x": 25, "y": 50, "width": "wide", "height": 25}
    wide = {"type": "rectanglelabels", "value": {**place, "rectanglelabels": ["nut"]}}
    dataset = open_dataset(write(tmp_path, [task("a.jpg", point, torn, wide)], "a.jpg"), "train")
    assert dataset.images[0].tags == ("bolt", "cap", "nut")
    assert dataset.images[0].objects == ()
    assert [(problem.file, problem.field) for problem in dataset.problems] == [
        ("project-1-at-2026-11-28.json", "task 1")
    ] * 2
    assert dataset.problems[1].message == (
        "[25, 50, 'wide', 25] is not the place of a region, in numbers; the region is a tag alone"
    )


def test_an_empty_annotation_is_a_negative_and_none_is_reported(tmp_path: Path) -> None:
    tasks = [
        task("a.jpg", choices("bolt")),
        task("b.jpg"),
        {"id": 3, "data": {"image": "c.jpg"}, "annotations": []},
        task("d.jpg", annotations=[{"was_cancelled": True, "result": [choices("nut")]}]),
        "no task",
        {"id": 5, "data": {"text": "no image"}, "annotations": []},
    ]
    root = write(tmp_path, tasks, "a.jpg", "b.jpg", "c.jpg", "d.jpg", "e.jpg")
    assert tags(root) == {"a.jpg": ("bolt",), "b.jpg": ()}
    reported = [problem.file for problem in open_dataset(root, "train").problems]
    assert sorted(reported) == ["c.jpg", "d.jpg", "e.jpg", "project-1-at-2026-11-28.json"]


def test_json_min(tmp_path: Path) -> None:
    rows = [
        {"image": "/data/upload/1/0a1b2c3d-a.jpg", "id": 1, "choice": "bolt", "annotator": 1, "created_at": "2026"},
        {"image": "/data/upload/1/0a1b2c3d-b.jpg", "id": 2, "choice": {"choices": ["bolt", "nut"]}},
        {"image": "/data/upload/1/0a1b2c3d-c.jpg", "id": 3, "label": [RECTANGLE["value"]]},
    ]
    root = write(tmp_path, rows, "a.jpg", "b.jpg", "c.jpg")
    assert tags(root) == {"a.jpg": ("bolt",), "b.jpg": ("bolt", "nut"), "c.jpg": ("nut",)}


NESTED: dict[str, Any] = {
    "choices below others": choices(["tool", "bolt"], "nut"),  # type: ignore[arg-type]
    "taxonomy": {"type": "taxonomy", "value": {"taxonomy": [["tool", "bolt"], ["nut"]]}},
    "bitmask": {"type": "bitmasklabels", "value": {"imageDataURL": "data:,", "bitmasklabels": ["bolt", "nut"]}},
    "vector": {"type": "vectorlabels", "value": {"vertices": [], "vectorlabels": ["bolt", "nut"]}},
}


@pytest.mark.parametrize("row", NESTED.values(), ids=list(NESTED))
def test_names_of_every_kind_of_row_are_tags(tmp_path: Path, row: dict[str, Any]) -> None:
    assert tags(write(tmp_path, [task("a.jpg", row)], "a.jpg")) == {"a.jpg": ("bolt", "nut")}


@pytest.mark.parametrize(
    "field",
    [{"choices": [["tool", "bolt"], ["nut"]]}, [{"taxonomy": [["tool", "bolt"], ["nut"]]}], ["bolt", "nut"]],
    ids=["choices below others", "taxonomy", "list"],
)
def test_nested_names_of_json_min(tmp_path: Path, field: Any) -> None:
    assert tags(write(tmp_path, [{"id": 1, "image": "a.jpg", "tags": field}], "a.jpg")) == {"a.jpg": ("bolt", "nut")}


def test_what_several_people_drew_is_not_several_objects(tmp_path: Path) -> None:
    moved = {**RECTANGLE, "value": {**RECTANGLE["value"], "x": 26}}
    first = {"result": [RECTANGLE, choices("bolt")], "updated_at": "2026-11-02T10:00:00Z"}
    second = {"result": [moved], "updated_at": "2026-11-01T10:00:00Z"}
    both = task("a.jpg", annotations=[first, second])
    marked = task("b.jpg", annotations=[first, {**second, "ground_truth": True}])
    dataset = open_dataset(write(tmp_path, [both, marked], "a.jpg", "b.jpg"), "train")
    a, b = dataset.images
    assert (a.tags, [thing.box_xyxy[0] for thing in a.objects]) == (("bolt", "nut"), [20.0])
    assert b.tags == ("nut",)
    assert [thing.box_xyxy[0] for thing in b.objects] == pytest.approx([20.8])
    (problem,) = dataset.problems
    assert (problem.file, problem.message.partition(":")[0]) == ("a.jpg", "it has 2 annotations")


def test_a_region_without_a_name_is_reported_and_no_negative(tmp_path: Path) -> None:
    place = {name: value for name, value in RECTANGLE["value"].items() if name != "rectanglelabels"}
    nameless = {"id": "r1", "type": "rectangle", "value": place}
    named = [nameless, {"id": "r1", "type": "labels", "value": {**place, "labels": ["nut"]}}]
    root = write(tmp_path, [task("a.jpg", nameless), task("b.jpg", *named)], "a.jpg", "b.jpg")
    dataset = open_dataset(root, "train")
    assert [(image.path.name, len(image.objects)) for image in dataset.images] == [("b.jpg", 1)]
    assert "there is no class name; left out" in [problem.message for problem in dataset.problems]
