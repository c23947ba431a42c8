"""Sizes, numbers, flags and names that tools write in odd ways, through every format that has them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tests.unit.training.data.conftest import voc_object, voc_xml, write_image
from training.data.open_dataset import open_dataset
from training.data.tagged import TaggedDataset
from weaksam.errors import UserError

BOX = (8.0, 6.0, 40.0, 30.0)
CORNERS = [[8, 6], [40, 30]]
SHARES = {"x": 10, "y": 10, "width": 40, "height": 40, "rotation": 0}
IMAGE_80X60 = {"id": 1, "file_name": "a.jpg", "width": 80, "height": 60}
ROW = {"id": 1, "image_id": 1, "category_id": 1, "bbox": [8, 6, 32, 24]}
BOLT = {"id": 1, "name": "bolt"}


def coco(row: dict[str, Any], category: dict[str, Any] = BOLT, **size: Any) -> dict[str, Any]:
    return {"images": [{**IMAGE_80X60, **size}], "annotations": [{**ROW, **row}], "categories": [category]}


def labelme(*shapes: dict[str, Any], width: Any = 80, height: Any = 60) -> dict[str, Any]:
    whole = [{"label": "bolt", "shape_type": "rectangle", "points": CORNERS, **shape} for shape in shapes]
    return {"shapes": whole, "imageWidth": width, "imageHeight": height}


def label_studio(value: dict[str, Any], width: Any = 80, height: Any = 60) -> list[dict[str, Any]]:
    size = {"original_width": width, "original_height": height}
    row = {**size, "value": {"rectanglelabels": ["bolt"], **value}}
    return [{"id": 1, "data": {"image": "a.jpg"}, "annotations": [{"result": [row]}]}]


def opened(root: Path, name: str, document: Any) -> TaggedDataset:
    """Open the data set of one image and one document; texts are XML, all else is JSON."""
    write_image(root / "a.jpg")
    (root / name).write_text(document if isinstance(document, str) else json.dumps(document))
    return open_dataset(root, "train")


def cvat(inside: str, width: Any = 80, height: Any = 60) -> str:
    return f'<annotations><image name="a.jpg" width="{width}" height="{height}">{inside}</image></annotations>'


CVAT_BOX = '<box label="bolt" xtl="8" ytl="6" xbr="40" ybr="30"/>'
SIZED = {
    "coco": ("r.json", lambda width, height: coco({}, width=width, height=height)),
    "labelme": ("a.json", lambda width, height: labelme({}, width=width, height=height)),
    "label studio": ("r.json", lambda width, height: label_studio(SHARES, width, height)),
    "cvat": ("r.xml", lambda width, height: cvat(CVAT_BOX, width, height)),
    "voc": ("a.xml", lambda width, height: voc_xml(voc_object("bolt", (9, 7, 40, 30)), width, height)),
}
FORMATS = pytest.mark.parametrize(("name", "document"), SIZED.values(), ids=list(SIZED))


@FORMATS
@pytest.mark.parametrize("side", [True, None, 0, -3, "unknown", float("nan"), 1e999, [80]], ids=str)
def test_a_size_that_is_none_is_taken_as_not_declared(tmp_path: Path, name: str, document: Any, side: Any) -> None:
    (image,) = opened(tmp_path, name, document(side, side)).images
    assert [thing.box_xyxy for thing in image.objects] == [pytest.approx(BOX)]


@FORMATS
@pytest.mark.parametrize("kind", [float, str, lambda side: f" {side}.0 "])
def test_a_size_counts_whether_it_is_a_number_or_a_text(tmp_path: Path, name: str, document: Any, kind: Any) -> None:
    good = opened(tmp_path, name, document(kind(80), kind(60)))
    assert good.problems == ()
    assert [thing.box_xyxy for thing in good.images[0].objects] == [pytest.approx(BOX)]
    other = opened(tmp_path, name, document(kind(800), kind(600)))
    assert other.images[0].objects == ()
    assert "the file says 800x600, the image is 80x60" in other.problems[0].message


@pytest.mark.parametrize(
    ("name", "document"),
    [
        pytest.param("r.json", coco({"bbox": [True, 6, 32, 24]}), id="coco"),
        pytest.param("a.json", labelme({"points": [[True, 6], [40, 30]]}), id="labelme"),
        pytest.param("r.json", label_studio({**SHARES, "x": True}), id="label studio"),
        pytest.param("r.json", label_studio({**SHARES, "rotation": True}), id="label studio, turned"),
        pytest.param("r.json", label_studio({"points": [[True, 1], [9, 1], [9, 9]]}), id="label studio, polygon"),
    ],
)
def test_true_is_no_number_of_a_place(tmp_path: Path, name: str, document: Any) -> None:
    dataset = opened(tmp_path, name, document)
    assert [(image.tags, image.objects) for image in dataset.images] == [(("bolt",), ())]
    assert "True" in dataset.problems[0].message


@pytest.mark.parametrize(
    ("value", "difficult"), [("0", False), ("false", False), (False, False), (None, False), ("1", True), (True, True)]
)
def test_flags_may_be_texts(tmp_path: Path, value: Any, difficult: bool) -> None:
    (image,) = opened(tmp_path, "r.json", coco({"iscrowd": value})).images
    assert [thing.difficult for thing in image.objects] == [difficult]


def test_difficult_objects_of_voc_may_be_true(tmp_path: Path) -> None:
    thing = voc_object("bolt", (9, 7, 40, 30), "<difficult>True</difficult>")
    (image,) = opened(tmp_path, "a.xml", voc_xml(thing)).images
    assert [thing.difficult for thing in image.objects] == [True]


@pytest.mark.parametrize(
    ("name", "document"),
    [
        pytest.param("r.json", coco({}, {"id": 1, "name": 0}), id="coco"),
        pytest.param("a.json", labelme({"label": 0}), id="labelme"),
    ],
)
def test_a_class_may_be_called_by_a_number(tmp_path: Path, name: str, document: Any) -> None:
    dataset = opened(tmp_path, name, document)
    assert (dataset.labels, [thing.label for thing in dataset.images[0].objects]) == (("0",), ["0"])


@pytest.mark.parametrize("category", [["bolt"], "  ", True, {}], ids=str)
def test_a_category_without_a_name_is_refused(tmp_path: Path, category: Any) -> None:
    with pytest.raises(UserError, match=r"categories\[0\] is .*: give it an id and a name"):
        opened(tmp_path, "r.json", coco({}, {"id": 1, "name": category}))


def test_categories_go_by_the_numbers_of_their_ids_whatever_their_length(tmp_path: Path) -> None:
    ids = ["9" * 5000, "010", "9", "b", "a"]
    document = {**coco({}), "categories": [{"id": id_, "name": f"of {id_[:3]}"} for id_ in ids]}
    assert opened(tmp_path, "r.json", document).labels == ("of 9", "of 010", "of 999", "of a", "of b")


@pytest.mark.parametrize(("group", "objects"), [(1, 1), ("1", 1), (True, 2), (None, 2), (1.5, 2)])
def test_groups_of_labelme_are_numbers_or_texts(tmp_path: Path, group: Any, objects: int) -> None:
    part = {"shape_type": "polygon", "points": [[2, 3], [6, 3], [6, 7]], "group_id": group}
    (image,) = opened(tmp_path, "a.json", labelme(part, part)).images
    assert len(image.objects) == objects


@pytest.mark.parametrize(
    ("tags", "problems"), [(["bolt"], 0), ("bolt", 0), (None, 0), (7, 1), ([["bolt"], None], 2)], ids=str
)
def test_tags_of_a_review_may_be_odd(tmp_path: Path, tags: Any, problems: int) -> None:
    dataset = opened(tmp_path, "r.json", coco({}, confirmed=False, tags=tags))
    assert [image.tags for image in dataset.images] == [("bolt",)]
    assert len(dataset.problems) == problems


def yolo(root: Path, yaml: str) -> TaggedDataset:
    write_image(root / "images" / "a.jpg")
    (root / "labels").mkdir()
    (root / "labels" / "a.txt").write_text("0 0.5 0.5 0.5 0.5\n")
    (root / "data.yaml").write_text(yaml)
    return open_dataset(root, "train")


@pytest.mark.parametrize(
    "yaml",
    [
        pytest.param(f"names: [bolt]\nkpt_shape: [{'9' * 5000}, 3]\n", id="key points"),
        pytest.param(f"names:\n  0: bolt\n  ? {'9' * 5000}\n  : nut\n", id="number of a class"),
        pytest.param("names: [bolt, [nut, pen], {a: b}]\n", id="lists in place of names"),
    ],
)
def test_what_is_no_number_or_name_in_a_yaml_is_left_out(tmp_path: Path, yaml: str) -> None:
    dataset = yolo(tmp_path, yaml)
    assert (dataset.labels, [image.tags for image in dataset.images]) == (("bolt",), [("bolt",)])


def test_a_mask_image_of_fractions_is_reported(tmp_path: Path) -> None:
    write_image(tmp_path / "JPEGImages" / "a.jpg")
    for folder in ("Annotations", "SegmentationObject"):
        (tmp_path / folder).mkdir()
    (tmp_path / "Annotations" / "a.xml").write_text(voc_xml(voc_object("bolt", (9, 7, 40, 30))))
    Image.fromarray(np.full((60, 80), np.nan, np.float32)).save(tmp_path / "SegmentationObject" / "a.png", "TIFF")
    dataset = open_dataset(tmp_path, "train")
    assert [thing.mask_rle for thing in dataset.images[0].objects] == [None]
    assert "the mask image is in colours or of fractions" in dataset.problems[0].message


HUGE = 100_000
STROKES = {"format": "rle", "rle": [0, 0, 0, 1, 1, 2], "brushlabels": ["bolt"]}


@pytest.mark.parametrize(
    ("name", "document"),
    [
        pytest.param(
            "r.json", coco({"segmentation": {"size": [HUGE, HUGE], "counts": [HUGE * HUGE // 5] * 5}}), id="coco"
        ),
        pytest.param("r.json", coco({"segmentation": {"size": [2**40, 1], "counts": [2**31] * 512}}), id="64 bit"),
        pytest.param("r.json", label_studio(STROKES, HUGE, HUGE), id="label studio"),
        pytest.param(
            "r.xml",
            cvat(
                f'<mask label="bolt" rle="{HUGE * HUGE}" left="0" top="0" width="{HUGE}" height="{HUGE}"/>', HUGE, HUGE
            ),
            id="cvat",
        ),
    ],
)
def test_a_mask_larger_than_images_may_be_is_reported_before_it_takes_memory(
    tmp_path: Path, name: str, document: Any
) -> None:
    dataset = opened(tmp_path, name, document)
    assert [image.tags for image in dataset.images] == [("bolt",)]
    assert all(thing.mask_rle is None for thing in dataset.images[0].objects)
    assert "pixels is larger than images may be, 100000000 pixels" in dataset.problems[0].message
