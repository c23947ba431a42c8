from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image

from training.data.check.copies import copy_warnings, file_keys
from training.data.open_dataset import open_dataset

SHADES = {"train": {"a": 10, "b": 20, "c": 10}, "test": {"d": 30, "e": 20}}


@pytest.fixture
def yolo(tmp_path: Path) -> Path:
    """A data set in which c of `train` is a copy of a, and e of `test` one of b."""
    (tmp_path / "data.yaml").write_text("train: train/images\ntest: test/images\nnames: [nut, bolt]\n")
    for split, shades in SHADES.items():
        for kind in ("images", "labels"):
            (tmp_path / split / kind).mkdir(parents=True)
        for name, shade in shades.items():
            Image.new("RGB", (8, 8), (shade, shade, shade)).save(tmp_path / split / "images" / f"{name}.png")
            (tmp_path / split / "labels" / f"{name}.txt").write_text("0 0.5 0.5 0.5 0.5\n")
    return tmp_path


def sentences(root: Path, split: str) -> list[str]:
    return list(copy_warnings(root, split, open_dataset(root, split).images))


def test_copies_are_named_in_their_split_and_across_splits(yolo: Path) -> None:
    copies, shared = sentences(yolo, "train")
    assert copies.startswith("images that are copies: 1 (a.png and c.png first).")
    assert shared.startswith("images that are in the split test, too: 1 (b.png first).")
    (seen_from_test,) = sentences(yolo, "test")
    assert seen_from_test.startswith("images that are in the split train, too: 1 (e.png first).")


def test_copies_with_other_tags_are_named(yolo: Path) -> None:
    (yolo / "train/labels/c.txt").write_text("1 0.5 0.5 0.5 0.5\n")
    _, unlike, _ = sentences(yolo, "train")
    assert unlike == "images whose copies have other tags: 1 (a.png and c.png first). Tag them alike, or keep one"


def test_validation_images_that_are_cut_from_the_training_images_are_no_copies(yolo: Path) -> None:
    (yolo / "train/images/c.png").unlink()
    (yolo / "test/images/e.png").unlink()
    assert [sentences(yolo, split) for split in ("train", "val", "fit", "test")] == [[], [], [], []]


def test_one_file_in_two_lists_is_told_if_one_of_them_is_the_test(yolo: Path) -> None:
    (yolo / "data.yaml").write_text("train: train/images\nval: train/images\ntest: train/images\nnames: [nut, bolt]\n")
    (yolo / "train/images/c.png").unlink()
    (shared,) = sentences(yolo, "train")
    assert shared.startswith("images that are in the split test, too: 2")


def test_only_files_of_one_size_are_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    contents = {"a": b"one", "b": b"two", "c": b"longer"}
    paths = [tmp_path / name for name in contents]
    for path in paths:
        path.write_bytes(contents[path.name])
    read: list[str] = []

    def read_file(path: Path) -> str:
        read.append(path.name)
        return path.name

    monkeypatch.setattr("training.data.check.copies.file_sha256", read_file)
    assert len(set(file_keys([*paths, *paths]).values())) == 3
    assert read == ["a", "b"]
