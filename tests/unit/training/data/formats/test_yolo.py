"""YOLO trees as Ultralytics, Roboflow and LabelImg lay them out."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.unit.training.data.conftest import write_image
from training.data.open_dataset import open_dataset
from training.data.tagged import TaggedDataset
from weaksam.errors import UserError
from weaksam.formats.run_lengths import decode_rle

BOX, POLYGON = "0 0.5 0.5 0.5 0.5", "1 0.25 0.25 0.75 0.25 0.75 0.75 0.25 0.75"


def write_labels(root: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    return root


def by_id(dataset: TaggedDataset) -> dict[str, tuple[str, ...]]:
    return {image.id: image.tags for image in dataset.images}


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """Ultralytics' layout: boxes, a polygon, an empty label file and an image without one."""
    for name in ("train/a", "train/b", "train/c", "train/d", "val/e"):
        write_image(tmp_path / "images" / f"{name}.jpg")
    texts = {"train/a": f"{BOX}\n{POLYGON}\n", "train/b": BOX, "train/c": "", "val/e": POLYGON}
    write_labels(tmp_path, {f"labels/{name}.txt": text for name, text in texts.items()})
    yaml = "path: .\ntrain: images/train\nval: images/val\nnames:\n  0: bolt\n  1: fuel cap\n"
    return write_labels(tmp_path, {"data.yaml": yaml})


def test_boxes_polygons_and_negatives(tree: Path) -> None:
    dataset = open_dataset(tree, "train")
    assert dataset.labels == ("bolt", "fuel cap")
    assert dataset.problems == ()
    assert by_id(dataset) == {
        "images/train/a": ("bolt", "fuel cap"),
        "images/train/b": ("bolt",),
        "images/train/c": (),
        "images/train/d": (),
    }
    box, polygon = dataset.images[0].objects
    assert box.box_xyxy == polygon.box_xyxy == (20.0, 15.0, 60.0, 45.0)
    assert polygon.mask_rle is not None
    inside = np.zeros((60, 80), np.bool_)
    inside[15:45, 20:60] = True
    assert (decode_rle(polygon.mask_rle) != inside).mean() < 0.03
    assert by_id(open_dataset(tree, "val")) == {"images/val/e": ("fuel cap",)}


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("train: ../train/images\nval: ../valid/images\nnc: 1\nnames: ['bolt']\n", id="roboflow"),
        pytest.param("path: /datasets/mine\ntrain: train/images\nval: valid/images\nnames: [bolt]\n", id="elsewhere"),
        pytest.param("names: [bolt]\n", id="no paths"),
    ],
)
def test_paths_that_are_not_there_are_looked_for_in_the_folder(tmp_path: Path, text: str) -> None:
    for split in ("train", "valid"):
        write_image(tmp_path / split / "images" / "a.jpg")
        write_labels(tmp_path, {f"{split}/labels/a.txt": BOX})
    write_labels(tmp_path, {"data.yaml": text})
    assert by_id(open_dataset(tmp_path, "train")) == {"train/images/a": ("bolt",)}
    assert by_id(open_dataset(tmp_path, "fit")) == {"train/images/a": ("bolt",)}
    assert by_id(open_dataset(tmp_path, "val")) == {"valid/images/a": ("bolt",)}


@pytest.mark.parametrize("below", ["", "images"])
def test_classes_txt_in_place_of_a_yaml(tmp_path: Path, below: str) -> None:
    write_image(tmp_path / below / "a.jpg")
    write_labels(tmp_path, {f"{'labels' if below else '.'}/a.txt": BOX, "classes.txt": "bolt\nnut\n"})
    dataset = open_dataset(tmp_path, "train")
    assert [image.tags for image in dataset.images] == [("bolt",)]
    assert dataset.labels == ("bolt", "nut")


def test_lists_of_images(tree: Path) -> None:
    (tree / "data.yaml").write_text("train: train.txt\nnames: [bolt, cap]\n")
    (tree / "train.txt").write_text("./images/train/b.jpg\nimages/train/gone.jpg\n")
    dataset = open_dataset(tree, "train")
    assert by_id(dataset) == {"images/train/b": ("bolt",)}
    assert ("images/train/gone.jpg", "image") in [(problem.file, problem.field) for problem in dataset.problems]
    assert {"images/train/a.jpg", "images/val/e.jpg"} < {problem.file for problem in dataset.problems}


@pytest.mark.parametrize(
    "line",
    [
        pytest.param("bolt", id="a name"),
        pytest.param("0 0.5 0.5", id="too few"),
        pytest.param("0 0.1 0.1 0.5 0.1 0.5 0.5 0.2", id="odd polygon"),
        pytest.param("0 nan 0.5 0.5 0.5", id="nan"),
        pytest.param("7 0.5 0.5 0.5 0.5", id="unknown class"),
    ],
)
def test_a_bad_line_is_reported_and_makes_no_negative(tree: Path, line: str) -> None:
    (tree / "labels/train/c.txt").write_text(line)
    dataset = open_dataset(tree, "train")
    assert ("labels/train/c.txt", "line 1") in [(problem.file, problem.field) for problem in dataset.problems]
    assert "images/train/c" not in by_id(dataset)
    assert "images/train/c.jpg" in [problem.file for problem in dataset.problems]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        pytest.param("names: [", "is not YAML", id="broken"),
        pytest.param("nc: 2", "names: must list the classes", id="no names"),
        pytest.param("- a", "must hold names:", id="list"),
    ],
)
def test_a_yaml_that_cannot_be_used_is_one_sentence(tree: Path, text: str, message: str) -> None:
    (tree / "data.yaml").write_text(text)
    with pytest.raises(ValueError, match=message) as refused:
        open_dataset(tree, "train")
    assert "data.yaml" in str(refused.value)
    assert "\n" not in str(refused.value)


def test_points_behind_a_box_are_no_polygon(tmp_path: Path) -> None:
    write_image(tmp_path / "images" / "train" / "a.jpg")
    points = " 0.1 0.1 0.9 0.9"
    texts = {"data.yaml": "train: images/train\nnames: [person]\nkpt_shape: [2, 2]\n"}
    write_labels(tmp_path, texts | {"labels/train/a.txt": BOX + points})
    (thing,) = open_dataset(tmp_path, "train").images[0].objects
    assert thing.box_xyxy == (20.0, 15.0, 60.0, 45.0)
    assert thing.mask_rle is None


def test_a_class_may_have_a_name_that_yaml_takes_for_a_truth_value(tree: Path) -> None:
    write_labels(tree, {"data.yaml": "train: images/train\nnames: [no, yes]\n"})
    assert open_dataset(tree, "train").labels == ("no", "yes")


def test_separators_at_the_ends_of_lines_are_no_part_of_a_class(tmp_path: Path) -> None:
    write_image(tmp_path / "a.jpg")
    write_labels(tmp_path, {"classes.txt": "\ufeffbolt,\r\nnut ;\r\nx, y\r\n", "a.txt": BOX})
    assert open_dataset(tmp_path, "train").labels == ("bolt", "nut", "x, y")


def test_an_empty_line_of_classes_txt_has_a_number_too(tmp_path: Path) -> None:
    write_image(tmp_path / "a.jpg")
    write_labels(tmp_path, {"classes.txt": "bolt\n\nnut\n", "a.txt": BOX.replace("0", "2", 1)})
    assert by_id(open_dataset(tmp_path, "train")) == {"a": ("nut",)}


@pytest.mark.parametrize("name", ["data.yaml", "classes.txt"])
def test_names_in_another_encoding_are_refused(tmp_path: Path, name: str) -> None:
    write_image(tmp_path / "images" / "a.jpg")
    write_labels(tmp_path, {"labels/a.txt": BOX})
    (tmp_path / name).write_bytes("names: [Größe]".encode("latin-1"))
    with pytest.raises(UserError, match=rf"{name} cannot be read as UTF-8 .*: save it as UTF-8"):
        open_dataset(tmp_path, "train")


def test_a_class_number_that_is_not_whole_is_reported(tree: Path) -> None:
    write_labels(tree, {"labels/train/b.txt": "1.5 0.5 0.5 0.5 0.5"})
    problems = open_dataset(tree, "train").problems
    assert (problems[0].file, problems[0].field) == ("labels/train/b.txt", "line 1")


def test_a_folder_of_a_name_that_cannot_be_is_not_there(tree: Path) -> None:
    write_labels(tree, {"data.yaml": f"train: {'x' * 300}\nval: images/val\nnames: [bolt, fuel cap]\n"})
    with pytest.raises(UserError, match="train"):
        open_dataset(tree, "train")
