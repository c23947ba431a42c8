"""Roboflow's exports: COCO, VOC and tables of tags, in folders named after splits."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.unit.training.data.conftest import voc_object, voc_xml, write_image
from training.data.open_dataset import open_dataset
from weaksam.errors import UserError


def coco(*files: str) -> str:
    """As Roboflow writes it: a category 0 that is only the supercategory of the others."""
    categories = [
        {"id": 0, "name": "workshop-abcd", "supercategory": "none"},
        {"id": 1, "name": "bolt", "supercategory": "workshop-abcd"},
        {"id": 2, "name": "nut", "supercategory": "workshop-abcd"},
    ]
    images = [
        {"id": number, "file_name": name, "height": 60, "width": 80, "extra": {"name": name}}
        for number, name in enumerate(files)
    ]
    annotations = [
        {
            "id": n,
            "image_id": n,
            "category_id": 1,
            "bbox": [1, 2, 30, 20],
            "area": 600,
            "segmentation": [],
            "iscrowd": 0,
        }
        for n in range(len(files))
    ]
    return json.dumps({"images": images, "annotations": annotations, "categories": categories})


def ids(root: Path, split: str) -> dict[str, tuple[str, ...]]:
    return {image.path.relative_to(root).as_posix(): image.tags for image in open_dataset(root, split).images}


@pytest.fixture
def folders(tmp_path: Path) -> Path:
    for name in ("train/a.jpg", "train/b.jpg", "valid/c.jpg", "test/d.jpg"):
        write_image(tmp_path / name)
    return tmp_path


def test_coco(folders: Path) -> None:
    for split, files in {"train": ("a.jpg", "b.jpg"), "valid": ("c.jpg",), "test": ("d.jpg",)}.items():
        (folders / split / "_annotations.coco.json").write_text(coco(*files))
    assert open_dataset(folders, "train").labels == ("bolt", "nut")
    assert ids(folders, "train") == ids(folders, "fit") == {"train/a.jpg": ("bolt",), "train/b.jpg": ("bolt",)}
    assert ids(folders, "val") == {"valid/c.jpg": ("bolt",)}
    assert ids(folders, "test") == {"test/d.jpg": ("bolt",)}
    (image,) = open_dataset(folders, "test").images
    assert image.objects[0].box_xyxy == (1.0, 2.0, 31.0, 22.0)


def test_an_image_that_the_file_does_not_name_is_reported(folders: Path) -> None:
    (folders / "train" / "_annotations.coco.json").write_text(coco("a.jpg"))
    problems = open_dataset(folders, "train").problems
    assert [problem.file for problem in problems] == ["test/d.jpg", "train/b.jpg", "valid/c.jpg"]


def test_voc(folders: Path) -> None:
    for name, kind in {"train/a": "bolt", "train/b": "nut", "valid/c": "nut", "test/d": "bolt"}.items():
        (folders / f"{name}.xml").write_text(voc_xml(voc_object(kind, (1, 1, 9, 9))))
    assert ids(folders, "train") == {"train/a.jpg": ("bolt",), "train/b.jpg": ("nut",)}
    assert ids(folders, "val") == {"valid/c.jpg": ("nut",)}


def test_a_table_of_classes(folders: Path) -> None:
    (folders / "train" / "_classes.csv").write_text("filename, bolt, nut\na.jpg, 1, 1\nb.jpg, 0, 0\n")
    (folders / "valid" / "_classes.csv").write_text("filename, bolt, nut\nc.jpg, 0, 1\n")
    (folders / "test" / "_classes.csv").write_text("filename, bolt, nut\nd.jpg, 1, 0\n")
    assert ids(folders, "train") == {"train/a.jpg": ("bolt", "nut"), "train/b.jpg": ()}
    assert ids(folders, "val") == {"valid/c.jpg": ("nut",)}
    assert open_dataset(folders, "val").labels == ("bolt", "nut")


def test_folders_of_classes_in_folders_of_splits(tmp_path: Path) -> None:
    for name in ("train/bolt/a.jpg", "train/nut/b.jpg", "val/nut/c.jpg"):
        write_image(tmp_path / name)
    assert open_dataset(tmp_path, "train").labels == ("bolt", "nut")
    assert ids(tmp_path, "train") == {"train/bolt/a.jpg": ("bolt",), "train/nut/b.jpg": ("nut",)}
    assert ids(tmp_path, "val") == {"val/nut/c.jpg": ("nut",)}


def test_folders_of_splits_are_no_classes(folders: Path) -> None:
    with pytest.raises(ValueError, match="train: 2 images and no tags"):
        open_dataset(folders, "train")


@pytest.mark.parametrize(
    ("file", "name"),
    [
        pytest.param("train/a.tfrecord", "a TFRecord export", id="tfrecord"),
        pytest.param("train/_annotations.createml.json", "a CreateML export", id="createml"),
        pytest.param("train/_annotations.csv", "an export of boxes as a CSV", id="csv"),
        pytest.param("obj.data", "a Darknet export", id="darknet"),
    ],
)
def test_layouts_that_are_not_read_are_refused_by_name(folders: Path, file: str, name: str) -> None:
    (folders / file).write_text("{}")
    with pytest.raises(ValueError, match=f"is {name}.*: export it as COCO, YOLO or VOC"):
        open_dataset(folders, "train")


TABLE = "filename, bolt, nut\n"


def test_rows_of_one_file_in_a_table_of_classes_are_joined(folders: Path) -> None:
    (folders / "train" / "_classes.csv").write_text(f"{TABLE}a.jpg, 1, 0\na.jpg, 0, 1\nb.jpg, , 0\n")
    (folders / "valid" / "_classes.csv").write_text(f"{TABLE}c.jpg, 0, 1\n")
    (folders / "test" / "_classes.csv").write_text(f"{TABLE}d.jpg, 1, 0\n")
    assert ids(folders, "train") == {"train/a.jpg": ("bolt", "nut"), "train/b.jpg": ()}


@pytest.mark.parametrize("row", ["1, 0,", "1.0, 0.0", "True, False", "true,,,"])
def test_flags_in_a_table_of_classes_as_other_tools_write_them(folders: Path, row: str) -> None:
    for split in ("train", "valid", "test"):
        (folders / split / "_classes.csv").write_text(f"{TABLE}a.jpg, {row}\nb.jpg, 0, 1\nc.jpg, 1, 1\nd.jpg, 1, 1\n")
    assert ids(folders, "train")["train/a.jpg"] == ("bolt",)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        pytest.param(f"{TABLE}a.jpg, 1, 0\nb.jpg, 2, 0\n", "row 3: must have a file and then 0 or 1", id="value"),
        pytest.param(f"{TABLE}a.jpg, 1\n", "row 2: must have a file and then 0 or 1 for each of 2", id="short"),
        pytest.param(f"{TABLE}a.jpg, 1, 0, 1\n", "row 2: must have a file and then 0 or 1 for each", id="long"),
        pytest.param("filename;bolt\na.jpg;1\n", "the first line must name the column of files", id="semicolons"),
    ],
)
def test_a_table_of_classes_that_cannot_be_used(folders: Path, text: str, message: str) -> None:
    (folders / "train" / "_classes.csv").write_text(text)
    with pytest.raises(UserError, match=rf"_classes\.csv(: |, ){message}"):
        open_dataset(folders, "train")
