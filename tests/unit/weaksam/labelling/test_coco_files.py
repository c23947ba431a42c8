"""The COCO files, read back by pycocotools."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from pycocotools.coco import COCO

from tests.support.fakes.answers import detect_result
from tests.support.fakes.fake_service import HEIGHT_PX, LABELS, WIDTH_PX
from weaksam.formats.run_lengths import decode_rle
from weaksam.labelling.coco_files import coco_files
from weaksam.labelling.doubt import NO_DOUBT, review_result
from weaksam.schemas import BundleInfo

TAGS = {"a/x.jpg": ["Bolt", "Nut"], "b/x.jpg": [], "b/y.jpg": ["Wrench"]}
IMAGE_IDS = {"a/x.jpg": 1, "b/x.jpg": 2, "b/y.jpg": 4}
BUNDLE = BundleInfo(name="fake", version="1", digest="d" * 64)


def write(folder: Path, image_ids: dict[str, int]) -> int:
    with coco_files(LABELS, BUNDLE, {"min_score": 0.5}, folder / "dataset.json", folder / "results.json") as files:
        for image, image_id in image_ids.items():
            result = detect_result(image.encode(), TAGS[image])
            files.add(image, image_id, result, review_result(result))
        return files.results.count


def read(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))


@pytest.fixture
def files(tmp_path: Path) -> Path:
    assert write(tmp_path, IMAGE_IDS) == 3
    return tmp_path


def test_pycocotools_takes_the_results(files: Path, capsys: pytest.CaptureFixture[str]) -> None:
    dataset = COCO(str(files / "dataset.json"))
    results = dataset.loadRes(str(files / "results.json"))
    capsys.readouterr()
    found = [(row["image_id"], results.cats[row["category_id"]]["name"]) for row in results.anns.values()]
    assert found == [(1, "Bolt"), (1, "Nut"), (4, "Wrench")]
    assert [int(results.annToMask(row).sum()) for row in results.anns.values()] == [40, 60, 50]


def test_the_data_set_is_whole(files: Path) -> None:
    dataset = read(files / "dataset.json")
    assert dataset["info"]["options"] == {"min_score": 0.5}
    assert dataset["info"]["bundle"] == {"name": "fake", "version": "1", "digest": "d" * 64}
    assert [(row["id"], row["name"]) for row in dataset["categories"]] == [(1, "Bolt"), (2, "Wrench"), (3, "Nut")]
    assert [(row["id"], row["file_name"]) for row in dataset["images"]] == [
        (id_, path) for path, id_ in IMAGE_IDS.items()
    ]
    assert all((row["width"], row["height"]) == (WIDTH_PX, HEIGHT_PX) for row in dataset["images"])
    assert [row["tags"] for row in dataset["images"]] == list(TAGS.values())
    assert [row["review_reason"] for row in dataset["images"]] == [
        "Bolt and Nut overlap with close scores",
        NO_DOUBT,
        NO_DOUBT,
    ]
    assert dataset["images"][0]["review"] > dataset["images"][2]["review"] > dataset["images"][1]["review"] == 0
    assert [row["id"] for row in dataset["annotations"]] == [1, 2, 3]
    first = dataset["annotations"][0]
    mask = first.pop("segmentation")
    assert first == {
        "id": 1,
        "image_id": 1,
        "category_id": 1,
        "bbox": [10.0, 5.0, 10.0, 4.0],
        "area": 40,
        "iscrowd": 0,
        "score": 0.75,
    }
    assert isinstance(mask["counts"], str)
    assert decode_rle(mask)[5:9, 10:20].all()


def test_a_result_has_the_fields_of_the_format(files: Path) -> None:
    for row in read(files / "results.json"):
        assert set(row) == {"image_id", "category_id", "bbox", "score", "segmentation"}


def test_no_detections_are_empty_arrays(tmp_path: Path) -> None:
    assert write(tmp_path, {"b/x.jpg": 1}) == 0
    assert read(tmp_path / "results.json") == []
    assert read(tmp_path / "dataset.json")["annotations"] == []
    assert len(read(tmp_path / "dataset.json")["images"]) == 1


def test_a_failed_write_leaves_the_old_files(tmp_path: Path) -> None:
    for name in ("dataset.json", "results.json"):
        (tmp_path / name).write_text("old", encoding="utf-8")
    with pytest.raises(KeyError, match="absent.jpg"):
        write(tmp_path, {"a/x.jpg": 1, "absent.jpg": 2})
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == {
        "dataset.json": "old",
        "results.json": "old",
    }
