from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tests.unit.training.data.conftest import write_image
from training.data.formats.coco import read_coco
from training.data.open_dataset import open_dataset
from weaksam.errors import UserError
from weaksam.files.opened_image import EXIF_ORIENTATION
from weaksam.formats.run_lengths import decode_rle

Json = dict[str, Any]


def _document() -> Json:
    rows = [
        {"id": 1, "image_id": 7, "category_id": 5, "bbox": [10, 20, 20, 10], "iscrowd": 0, "segmentation": []},
        {"id": 2, "image_id": 9, "category_id": 3, "bbox": [0, 0, 80, 60], "iscrowd": 1},
    ]
    images = [
        {"id": number, "file_name": f"{name}.jpg", "height": 60, "width": 80} for number, name in ((7, "a"), (9, "b"))
    ]
    return {"images": images, "annotations": rows, "categories": [{"id": 5, "name": "Nut"}, {"id": 3, "name": "Bolt"}]}


def _write(root: Path, document: Json, split: str = "train") -> Path:
    (root / "annotations").mkdir(exist_ok=True)
    (root / "annotations" / f"instances_{split}.json").write_text(json.dumps(document))
    for name in ("a", "b"):
        write_image(root / "images" / f"{name}.jpg")
    return root


def test_boxes_labels_and_crowds(tmp_path: Path) -> None:
    dataset = read_coco(_write(tmp_path, _document()), "train")

    assert dataset.labels == ("Bolt", "Nut")
    assert [(image.id, image.tags) for image in dataset.images] == [("a", ("Nut",)), ("b", ("Bolt",))]
    assert dataset.images[0].objects[0].box_xyxy == (10.0, 20.0, 30.0, 30.0)
    assert [image.objects[0].difficult for image in dataset.images] == [False, True]
    assert dataset.problems == ()


@pytest.mark.parametrize(
    "segmentation",
    [
        pytest.param([[2, 1, 6, 1, 6, 4, 2, 4]], id="polygon"),
        pytest.param([["2", "1", "6", "1.0", "6", "4", "2", "4"]], id="polygon-of-texts"),
        pytest.param("[[2, 1, 6, 1, 6, 4, 2, 4]]", id="polygon-in-a-text"),
        pytest.param({"size": [60, 80], "counts": [121, 3, 57, 3, 57, 3, 57, 3, 4496]}, id="plain-run-lengths"),
    ],
)
def test_masks(tmp_path: Path, segmentation: object) -> None:
    document = _document()
    document["annotations"][0]["segmentation"] = segmentation
    expected = np.zeros((60, 80), np.bool_)
    expected[1:4, 2:6] = True

    thing = read_coco(_write(tmp_path, document), "train").images[0].objects[0]

    assert thing.mask_rle is not None
    np.testing.assert_array_equal(decode_rle(thing.mask_rle), expected)


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        pytest.param(
            "segmentation",
            [["2", "one", "6", "1", "6", "4"]],
            "a polygon holds 'one', which is no number: write [[x, y, x, y, ...]]; no mask",
            id="word",
        ),
        pytest.param(
            "segmentation",
            "[[2, 1, 6",
            "segmentation '[[2, 1, 6' is neither polygons nor run lengths: write [[x, y, x, y, ...]]; no mask",
            id="torn",
        ),
        pytest.param(
            "segmentation",
            [2, 1, 6, 1, 6, 4],
            "segmentation [2, 1, 6, 1, 6, 4] is neither polygons nor run lengths: write [[x, y, x, y, ...]]; no mask",
            id="flat",
        ),
        pytest.param(
            "bbox",
            "1 2 3 4",
            "bbox '1 2 3 4' is not four numbers: write [x, y, width, height]; the object is a tag alone",
            id="box",
        ),
    ],
)
def test_a_wrong_value_is_named_with_its_annotation_and_the_remedy(
    tmp_path: Path, field: str, value: object, message: str
) -> None:
    document = _document()
    document["annotations"][0] |= {"id": 77, field: value}
    (problem,) = read_coco(_write(tmp_path, document), "train").problems
    assert (problem.file, problem.field) == ("annotations/instances_train.json", f"annotations[0].{field}")
    assert problem.message == f"annotation id 77: {message}"


def test_a_box_in_a_text_is_read(tmp_path: Path) -> None:
    document = _document()
    document["annotations"][0]["bbox"] = "[10, 20, 20, 10]"
    dataset = read_coco(_write(tmp_path, document), "train")
    assert dataset.problems == ()
    assert dataset.images[0].objects[0].box_xyxy == (10.0, 20.0, 30.0, 30.0)


def _set(*path: Any, value: object) -> Callable[[Json], None]:
    def change(document: Json) -> None:
        for key in path[:-1]:
            document = document[key]
        document[path[-1]] = value

    return change


@pytest.mark.parametrize(
    ("spoil", "field", "kept"),
    [
        pytest.param(_set("annotations", 0, "bbox", value=[1, 2, 3]), "annotations[0].bbox", ["a", "b"], id="bbox"),
        pytest.param(
            _set("annotations", 0, "bbox", value=[75, 0, 20, 9]), "annotations[0].bbox", ["a", "b"], id="box-sticks-out"
        ),
        pytest.param(
            _set("annotations", 0, "category_id", value=8), "annotations[0].category_id", ["b"], id="category"
        ),
        pytest.param(
            _set("annotations", 0, "image_id", value=8), "annotations[0].image_id", ["a", "b"], id="unknown-image"
        ),
        pytest.param(
            _set("annotations", 0, "segmentation", value={"size": [6, 8], "counts": [48]}),
            "annotations[0].segmentation",
            ["a", "b"],
            id="mask-of-other-size",
        ),
        pytest.param(
            _set("annotations", 0, "segmentation", value=[[10, 20, 30, 20, 30, 20.1]]),
            "annotations[0].segmentation",
            ["a", "b"],
            id="mask-of-no-pixel",
        ),
        pytest.param(_set("images", 1, "id", value=7), "images[1].id", [], id="duplicate-id"),
        pytest.param(_set("images", 1, "file_name", value="a.png"), "images[1].id", ["a"], id="two-files-of-one-name"),
        pytest.param(_set("images", 0, "file_name", value="c.jpg"), "image", ["b"], id="missing-image"),
        pytest.param(_set("images", 0, "height", value=61), "images id 7", ["a", "b"], id="other-size"),
        pytest.param(_set("images", 0, value={"id": 7}), "images[0]", ["b"], id="no-file-name"),
    ],
)
def test_bad_data_is_reported(tmp_path: Path, spoil: Callable[[Json], None], field: str, kept: list[str]) -> None:
    document = _document()
    spoil(document)

    dataset = read_coco(_write(tmp_path, document), "train")

    assert field in [problem.field for problem in dataset.problems]
    assert [image.id for image in dataset.images] == kept


@pytest.mark.parametrize(
    ("text", "message"),
    [
        pytest.param("{", "is not JSON", id="no-json"),
        pytest.param('{"images": []}', "field 'annotations' must be a list", id="results-not-instances"),
    ],
)
def test_a_file_that_is_no_coco_file(tmp_path: Path, text: str, message: str) -> None:
    root = _write(tmp_path, _document())
    (root / "annotations" / "instances_train.json").write_text(text)

    with pytest.raises(ValueError, match=message):
        read_coco(root, "train")


def test_an_id_that_another_images_file_is_named_by_is_no_double(tmp_path: Path) -> None:
    rows = [{"id": str(number + 1), "file_name": f"{number}.jpg"} for number in range(6)]
    objects = [{"id": n, "image_id": str(n + 1), "category_id": 5, "bbox": [0, 0, 8, 8]} for n in range(6)]
    for row in rows:
        write_image(tmp_path / "images" / row["file_name"])

    dataset = read_coco(_write(tmp_path, _document() | {"images": rows, "annotations": objects}), "train")

    assert [(image.id, image.tags) for image in dataset.images] == [(str(n), ("Nut",)) for n in range(6)]
    assert dataset.problems == ()


@pytest.mark.parametrize(
    ("second", "message"),
    [
        pytest.param({"id": 3}, r"categories\[1\] is {'id': 3}: give it an id and a name", id="no-name"),
        pytest.param({"id": 3, "name": ""}, r"categories\[1\] is .*: give it an id and a name", id="empty-name"),
        pytest.param({"name": "Bolt"}, r"categories\[1\] is {'name': 'Bolt'}: give it an id", id="no-id"),
        pytest.param({"id": 5, "name": "Bolt"}, "categories: the id 5 stands there twice", id="id-twice"),
        pytest.param({"id": 3, "name": "NUT"}, "categories: the name 'nut' stands there twice", id="name-twice"),
    ],
)
def test_categories_that_cannot_be_told_apart(tmp_path: Path, second: Json, message: str) -> None:
    document = _document()
    document["categories"][1] = second

    with pytest.raises(ValueError, match=rf"instances_train\.json: {message}"):
        read_coco(_write(tmp_path, document), "train")


def test_ids_of_mixed_types_are_one_id(tmp_path: Path) -> None:
    document = _document()
    document["categories"] = [{"id": "5", "name": "Nut"}, {"id": 3, "name": "Bolt"}, {"id": "x", "name": "Pin"}]
    document["images"][0]["id"], document["annotations"][0]["image_id"] = "7", 7.0
    dataset = read_coco(_write(tmp_path, document), "train")
    assert dataset.labels == ("Bolt", "Nut", "Pin")
    assert [(image.id, image.tags) for image in dataset.images] == [("a", ("Nut",)), ("b", ("Bolt",))]
    assert dataset.problems == ()


@pytest.mark.parametrize("row", [None, 3, "x", [], {"image_id": None}, {"image_id": [7]}, {"image_id": {}}])
def test_a_row_of_the_wrong_kind_is_one_row_of_the_report(tmp_path: Path, row: object) -> None:
    document = _document()
    document["annotations"].append(row)
    document["images"].append(row)
    dataset = read_coco(_write(tmp_path, document), "train")
    assert [image.id for image in dataset.images] == ["a", "b"]
    assert len(dataset.problems) == 2


def test_an_image_without_annotations_is_a_negative(tmp_path: Path) -> None:
    document = _document()
    del document["annotations"][0]
    dataset = read_coco(_write(tmp_path, document), "train")
    assert [(image.id, image.tags) for image in dataset.images] == [("a", ()), ("b", ("Bolt",))]


def test_boxes_and_masks_of_the_stored_frame_are_turned_upright(tmp_path: Path) -> None:
    document = _document()
    document["annotations"][0]["segmentation"] = [[10, 20, 30, 20, 30, 30, 10, 30]]
    root = _write(tmp_path, document)
    exif = Image.Exif()
    exif[EXIF_ORIENTATION] = 8
    Image.new("RGB", (80, 60)).save(root / "images" / "a.jpg", exif=exif)
    dataset = read_coco(root, "train")
    (thing,) = dataset.images[0].objects
    assert (dataset.problems, dataset.images[0].size_hw) == ((), (80, 60))
    assert thing.box_xyxy == (20.0, 50.0, 30.0, 70.0)
    assert thing.mask_rle is not None
    rows, columns = np.nonzero(decode_rle(thing.mask_rle))
    assert (columns.min(), rows.min(), columns.max() + 1, rows.max() + 1) == (20, 50, 30, 70)


def test_one_file_for_all_images_and_names_of_another_machine(tmp_path: Path) -> None:
    document = _document()
    document["images"][0]["file_name"] = "C:\\photos\\images\\A.JPG"
    root = _write(tmp_path, document, split="default")
    assert [image.path.name for image in read_coco(root, "train").images] == ["a.jpg", "b.jpg"]
    (root / "annotations" / "instances_default.json").rename(root / "result.json")
    dataset = read_coco(root, "train")
    assert [image.path.name for image in dataset.images] == ["a.jpg", "b.jpg"]
    assert len(dataset.notes) == 1


@pytest.mark.parametrize("folder", [".", "annotations"])
def test_files_named_after_splits(tmp_path: Path, folder: str) -> None:
    root = _write(tmp_path, _document())
    whole = root / "annotations" / "instances_train.json"
    for name in ("my_train.json", "my-valid.json"):
        (root / folder / name).write_bytes(whole.read_bytes())
    whole.unlink()
    for split in ("train", "val"):
        dataset = open_dataset(root, split)
        assert (dataset.labels, len(dataset.images)) == (("Bolt", "Nut"), 2)


def test_tags_count_only_where_a_review_wrote_them(tmp_path: Path) -> None:
    document = _document()
    document["annotations"] = []
    document["images"][0] |= {"tags": ["train", "blurred"]}
    document["images"][1] |= {"tags": ["Bolt"], "confirmed": False}
    dataset = read_coco(_write(tmp_path, document), "train")
    assert [(image.tags, image.confirmed) for image in dataset.images] == [((), None), (("Bolt",), False)]
    assert dataset.problems == ()


def test_objects_of_all_ids_of_a_file_are_its_own(tmp_path: Path) -> None:
    document = _document()
    document["images"].append(document["images"][0] | {"id": 11})
    document["annotations"].append(document["annotations"][1] | {"image_id": 11})
    dataset = read_coco(_write(tmp_path, document), "train")
    assert [(image.id, image.tags) for image in dataset.images] == [("a", ("Bolt", "Nut")), ("b", ("Bolt",))]
    assert [problem.field for problem in dataset.problems] == ["images[2].file_name"]


def test_an_id_of_two_files_is_that_of_none(tmp_path: Path) -> None:
    document = _document()
    document["images"].append(document["images"][0] | {"file_name": "c.jpg"})
    root = _write(tmp_path, document)
    write_image(root / "images" / "c.jpg")
    dataset = read_coco(root, "train")
    assert [image.id for image in dataset.images] == ["b"]
    assert [problem.field for problem in dataset.problems if ".id" in problem.field] == ["images[0].id", "images[2].id"]


@pytest.mark.parametrize("size", [{"height": 60.0, "width": 90.0}, {"height": "60", "width": "90"}])
def test_a_size_is_compared_however_it_is_written(tmp_path: Path, size: Json) -> None:
    document = _document()
    document["images"][0] |= size
    dataset = read_coco(_write(tmp_path, document), "train")
    assert dataset.images[0].objects == ()
    assert "the file says 90x60, the image is 80x60" in dataset.problems[0].message


@pytest.mark.parametrize(
    "segmentation", [[[2, 1, 6, 1, 6, 4, 2, 4]], {"size": [60, 80], "counts": [121, 3, 57, 3, 57, 3, 57, 3, 4496]}]
)
def test_an_object_without_a_box_has_that_of_its_mask(tmp_path: Path, segmentation: object) -> None:
    document = _document()
    document["annotations"][0] = {"id": 1, "image_id": 7, "category_id": 5, "segmentation": segmentation}
    (thing,) = read_coco(_write(tmp_path, document), "train").images[0].objects
    assert thing.box_xyxy == (2.0, 1.0, 6.0, 4.0)


def test_two_files_of_one_split_are_refused(tmp_path: Path) -> None:
    write_image(tmp_path / "a.jpg")
    for name in ("train_1", "train_2"):
        (tmp_path / f"{name}.json").write_text(json.dumps(_document()))
    with pytest.raises(UserError, match=r"several COCO files of the split train, train_1\.json and train_2\.json"):
        open_dataset(tmp_path, "train")
