from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.unit.training.data.conftest import write_image
from training.data.formats.folder import read_folder
from training.data.open_dataset import open_dataset
from weaksam.errors import UserError
from weaksam.labelling.worklist import worklist_from_names


def _tags(root: Path) -> dict[str, tuple[str, ...]]:
    return {image.id: image.tags for image in read_folder(root).images}


def test_tags_from_csv(tmp_path: Path) -> None:
    write_image(tmp_path / "a.jpg")
    write_image(tmp_path / "sub" / "b.PNG")
    (tmp_path / "tags.csv").write_text('file,tags,note\na.jpg,bolt; fuel cap,x\nsub/b.PNG,"nut,bolt",\n')

    assert _tags(tmp_path) == {"a": ("bolt", "fuel cap"), "sub/b": ("bolt", "nut")}
    assert read_folder(tmp_path).labels == ("bolt", "fuel cap", "nut")


def test_tags_from_sidecars(tmp_path: Path) -> None:
    for name in ("a", "b", "c"):
        write_image(tmp_path / f"{name}.jpg")
    (tmp_path / "a.txt").write_text("bolt\nnut\n")
    (tmp_path / "b.json").write_text(json.dumps({"tags": ["pen"]}))
    (tmp_path / "c.json").write_text(json.dumps(["pen", "nut"]))

    assert _tags(tmp_path) == {"a": ("bolt", "nut"), "b": ("pen",), "c": ("nut", "pen")}


def test_tags_from_folder_names(tmp_path: Path) -> None:
    for name in ("bolt/1.jpg", "bolt/deep/2.jpg", "nut/1.jpg"):
        write_image(tmp_path / name)

    assert _tags(tmp_path) == {"bolt/1": ("bolt",), "bolt/deep/2": ("bolt",), "nut/1": ("nut",)}


def test_rows_are_joined_and_folders_may_name_several_tags_as_in_labelling(tmp_path: Path) -> None:
    write_image(tmp_path / "csv" / "a.jpg")
    (tmp_path / "csv" / "tags.csv").write_text("file,tags\na.jpg,nut\na.jpg,pen\n")
    write_image(tmp_path / "folders" / "nut,pen" / "day1" / "a.jpg")
    write_image(tmp_path / "folders" / ".trash" / "b.jpg")
    assert _tags(tmp_path / "csv") == {"a": ("nut", "pen")}
    assert _tags(tmp_path / "folders") == {"nut,pen/day1/a": ("nut", "pen")}


def test_spellings_of_one_tag_become_one_label(tmp_path: Path) -> None:
    write_image(tmp_path / "a.jpg")
    write_image(tmp_path / "b.jpg")
    (tmp_path / "tags.csv").write_text("file,tags\na.jpg,Fuel Cap\nb.jpg,fuel_cap\n")

    assert read_folder(tmp_path).labels == ("Fuel Cap",)
    assert _tags(tmp_path) == {"a": ("Fuel Cap",), "b": ("Fuel Cap",)}


def test_a_byte_order_mark_is_no_part_of_a_label(tmp_path: Path) -> None:
    write_image(tmp_path / "nut" / "a.jpg")
    (tmp_path / "labels.txt").write_text("nut,\r\npen;\r\n,\r\n", encoding="utf-8-sig")
    assert read_folder(tmp_path).labels == ("nut", "pen")


@pytest.mark.parametrize(
    ("files", "problem"),
    [
        pytest.param({"tags.csv": "file,tags\na.jpg,nut\nc.jpg,nut\n"}, ("c.jpg", "image"), id="csv-names-no-image"),
        pytest.param({"tags.csv": "file,tags\nb.jpg,nut\n"}, ("a.jpg", "tags"), id="image-not-in-csv"),
        pytest.param(
            {"tags.csv": "file,tags\na.jpg,nut\n../b.jpg,nut\n"}, ("tags.csv", "file '../b.jpg'"), id="csv-outside"
        ),
        pytest.param({"a.txt": "nut"}, ("b.jpg", "tags"), id="no-sidecar"),
        pytest.param({"a.txt": "nut", "b.json": "{"}, ("b.json", "json"), id="sidecar-broken"),
        pytest.param({"a.txt": "nut", "b.json": '{"tags": 3}'}, ("b.json", "tags"), id="sidecar-no-list"),
        pytest.param({"a.txt": "nut\nnot", "labels.txt": "nut\npen"}, ("a.jpg", "tags"), id="unknown-class"),
        pytest.param({"a.txt": "nut", "b.txt": "nut", "b.jpg": ""}, ("b.jpg", "image"), id="empty-image"),
        pytest.param({"a.txt": "nut", "c.txt": "nut", "c.png": "-"}, ("c.png", "image"), id="broken-image"),
    ],
)
def test_bad_data_is_reported(tmp_path: Path, files: dict[str, str], problem: tuple[str, str]) -> None:
    for name in ("a", "b"):
        write_image(tmp_path / f"{name}.jpg")
    for name, text in files.items():
        (tmp_path / name).write_text(text)

    dataset = read_folder(tmp_path)

    assert problem in [(found.file, found.field) for found in dataset.problems]
    assert dataset.images


def test_two_images_of_one_id(tmp_path: Path) -> None:
    write_image(tmp_path / "nut" / "a.jpg")
    write_image(tmp_path / "nut" / "a.png")

    dataset = read_folder(tmp_path)

    assert len(dataset.images) == 1
    assert [(found.file, found.field) for found in dataset.problems] == [("nut/a.png", "id")]


@pytest.mark.parametrize(
    ("files", "message"),
    [
        pytest.param({}, "1 images and no tags; add tags.csv", id="no-tags"),
        pytest.param({"tags.csv": "file,tags\na.jpg,\n"}, "no tags; write some into tags.csv", id="empty-cells"),
        pytest.param({"tags.csv": "image,tags\na.jpg,nut\n"}, "must name the columns file and tags", id="columns"),
    ],
)
def test_a_folder_without_any_tags(tmp_path: Path, files: dict[str, str], message: str) -> None:
    write_image(tmp_path / "a.jpg")
    for name, text in files.items():
        (tmp_path / name).write_text(text)

    with pytest.raises(ValueError, match=message):
        read_folder(tmp_path)


def test_an_image_above_the_folder_is_reported_and_left_out(tmp_path: Path) -> None:
    root = tmp_path / "photographs"
    write_image(root / "a.jpg")
    write_image(tmp_path / "outside.jpg")
    (root / "tags.csv").write_text("file,tags\na.jpg,nut\n../outside.jpg,pen\n")

    dataset = read_folder(root)

    assert [image.id for image in dataset.images] == ["a"]
    assert [(found.file, found.field) for found in dataset.problems] == [("tags.csv", "file '../outside.jpg'")]


def test_a_link_to_an_image_elsewhere_is_an_image_of_the_folder(tmp_path: Path) -> None:
    root = tmp_path / "photographs"
    root.mkdir()
    write_image(tmp_path / "elsewhere" / "a.jpg")
    (root / "a.jpg").symlink_to(tmp_path / "elsewhere" / "a.jpg")
    (root / "tags.csv").write_text("file,tags\na.jpg,nut\n")

    assert _tags(root) == {"a": ("nut",)}


def test_labelling_and_training_see_the_same_images(tmp_path: Path) -> None:
    root = tmp_path / "photographs"
    write_image(root / "nut" / "a.gif")
    write_image(tmp_path / "elsewhere" / "b.png")
    (root / "pen").symlink_to(tmp_path / "elsewhere")

    assert _tags(root) == {"nut/a": ("nut",), "pen/b": ("pen",)}
    assert set(worklist_from_names(root, "folder").tags) == {"nut/a.gif", "pen/b.png"}


def test_folders_of_a_layout_that_is_not_known_are_no_classes(tmp_path: Path) -> None:
    write_image(tmp_path / "images" / "a.jpg")
    (tmp_path / "labels").mkdir()
    with pytest.raises(UserError, match="has folders named images, which are no classes"):
        open_dataset(tmp_path, "train")
    (tmp_path / "labels" / "a.txt").write_text("0 0.5 0.5 0.1 0.1")
    with pytest.raises(UserError, match=r"is a YOLO tree without data\.yaml or classes\.txt"):
        open_dataset(tmp_path, "train")


def test_folders_beside_those_of_splits_are_no_classes(tmp_path: Path) -> None:
    for name in ("train/bolt/a.jpg", "train/nut/b.jpg", "test/bolt/c.jpg", "unlabelled/d.jpg"):
        write_image(tmp_path / name)
    dataset = open_dataset(tmp_path, "train")
    assert {image.id: image.tags for image in dataset.images} == {"train/bolt/a": ("bolt",), "train/nut/b": ("nut",)}
    assert [(problem.file, problem.field) for problem in dataset.problems] == [("unlabelled/d.jpg", "tags")]
    write_image(tmp_path / "e.jpg")
    with pytest.raises(UserError, match="has folders named test, train, unlabelled, which are no classes"):
        open_dataset(tmp_path, "train")


def test_a_tag_in_a_table_may_be_the_name_of_a_layouts_folder(tmp_path: Path) -> None:
    write_image(tmp_path / "a.jpg")
    write_image(tmp_path / "b.jpg")
    (tmp_path / "tags.csv").write_text("file,tags\na.jpg,label\nb.jpg,\n")
    assert _tags(tmp_path) == {"a": ("label",), "b": ()}


def test_labels_may_be_utf_16_and_nothing_is_read_by_halves(tmp_path: Path) -> None:
    write_image(tmp_path / "a.jpg")
    (tmp_path / "a.txt").write_text("Größe", encoding="utf-8")
    (tmp_path / "labels.txt").write_text("Größe\n", encoding="utf-16")
    assert read_folder(tmp_path).labels == ("Größe",)
    (tmp_path / "labels.txt").write_bytes("Größe\n".encode("latin-1"))
    with pytest.raises(UserError, match=r"labels\.txt cannot be read as UTF-8 .*: save it as UTF-8"):
        read_folder(tmp_path)


def test_a_sidecar_in_another_encoding_is_reported(tmp_path: Path) -> None:
    for name in ("a", "b"):
        write_image(tmp_path / f"{name}.jpg")
    (tmp_path / "a.txt").write_text("bolt")
    (tmp_path / "b.txt").write_bytes("Größe".encode("latin-1"))
    dataset = read_folder(tmp_path)
    assert dataset.labels == ("bolt",)
    assert [(problem.file, problem.field) for problem in dataset.problems] == [("b.txt", "file")]


DAMAGED = {
    "COCO, cut off": ("labels.json", '{"images": [{"id": 1, "file_na', "is not JSON"),
    "CVAT, cut off": ("annotations.xml", '<annotations><image id="0" name="a.j', "is not well-formed"),
    "XML with entities": ("a.xml", '<!DOCTYPE a [<!ENTITY b "c">]><annotations/>', "declares entities"),
}


@pytest.mark.parametrize(("name", "text", "told"), DAMAGED.values(), ids=list(DAMAGED))
def test_annotations_that_cannot_be_read_are_told(tmp_path: Path, name: str, text: str, told: str) -> None:
    write_image(tmp_path / "day 1" / "a.jpg")
    (tmp_path / name).write_text(text)
    problem, *_ = open_dataset(tmp_path, "train").problems
    assert (problem.file, problem.message.endswith("; it is not read")) == (name, True)
    assert told in problem.message
    (tmp_path / "day 1" / "a.jpg").rename(tmp_path / "a.jpg")
    (tmp_path / "day 1").rmdir()
    if name != "a.xml":  # which would be about a.jpg
        with pytest.raises(UserError, match=f"no tags; .*; {name}: {told}"):
            open_dataset(tmp_path, "train")
