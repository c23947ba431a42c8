from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from models.image import read_image
from tests.unit.training.data.conftest import write_image
from training.data.mosaics import make_mosaics, plan_mosaics
from training.data.open_dataset import open_dataset
from training.data.tagged import TaggedDataset, TaggedImage, TrueObject

KINDS = ("bolt", "nut", "pen", "rock", "wire")


def _images(root: Path, per_kind: int) -> list[TaggedImage]:
    images = []
    for kind in KINDS:
        for number in range(per_kind):
            path = root / f"{kind}{number}.png"
            objects = (TrueObject(kind, (1.25, 2.5, 11.0, 12.0)),)
            images.append(TaggedImage(path.stem, path, (60, 80), (kind,), objects))
    return images


def test_half_repeat_one_kind_and_no_tag_is_there_by_chance(tmp_path: Path) -> None:
    mosaics = plan_mosaics(_images(tmp_path, 6), 40, seed=1)

    counts = [sorted(Counter(tile.tags[0] for tile in tiles).values()) for tiles in mosaics]
    assert Counter(map(tuple, counts)) == {(1, 1, 1, 1): 20, (1, 1, 2): 20}
    assert all(len({tile.id for tile in tiles}) == 4 for tiles in mosaics)


def test_photographs_are_used_about_equally(tmp_path: Path) -> None:
    images = _images(tmp_path, 6)

    used = Counter(tile.id for tiles in plan_mosaics(images, 45, seed=2) for tile in tiles)

    assert set(used) == {image.id for image in images}
    assert max(used.values()) - min(used.values()) <= 2


def test_the_seed_decides(tmp_path: Path) -> None:
    images = _images(tmp_path, 4)

    assert plan_mosaics(images, 8, seed=5) == plan_mosaics(images, 8, seed=5)
    assert plan_mosaics(images, 8, seed=5) != plan_mosaics(images, 8, seed=6)


def test_too_few_kinds(tmp_path: Path) -> None:
    images = [image for image in _images(tmp_path, 6) if image.tags[0] in KINDS[:3]]

    with pytest.raises(ValueError, match="need four kinds"):
        plan_mosaics(images, 2, seed=0)


def test_written_mosaics_carry_boxes_and_tags(tmp_path: Path) -> None:
    images = _images(tmp_path, 3)
    for image in images:
        write_image(image.path)
    source = TaggedDataset("source", KINDS, tuple(images))

    list(make_mosaics(source, "test", tmp_path / "out", 4, seed=0))

    dataset = open_dataset(tmp_path / "out", "test")
    assert dataset.problems == ()
    for image, tiles in zip(dataset.images, plan_mosaics(images, 4, seed=0), strict=True):
        assert image.size_hw == (120, 160)
        assert image.tags == tuple(sorted({tile.tags[0] for tile in tiles}))
        assert [thing.label for thing in image.objects] == [tile.tags[0] for tile in tiles]
        corners = [(thing.box_xyxy[0], thing.box_xyxy[1]) for thing in image.objects]
        assert corners == [(1.25, 2.5), (81.25, 2.5), (1.25, 62.5), (81.25, 62.5)]


def test_tiles_of_other_sizes_keep_their_resolution(tmp_path: Path) -> None:
    images = [TaggedImage(kind, tmp_path / f"{kind}.png", (60, 80), (kind,)) for kind in KINDS[:3]]
    images.append(TaggedImage("tall", tmp_path / "tall.png", (90, 50), ("tall",)))
    for image in images:
        write_image(image.path, image.size_hw)
    source = TaggedDataset("source", (*KINDS[:3], "tall"), tuple(images))

    list(make_mosaics(source, "test", tmp_path / "out", 1, seed=0))

    dataset = open_dataset(tmp_path / "out", "test")
    assert dataset.images[0].size_hw == (180, 160)
    assert dataset.images[0].tags == ("bolt", "nut", "pen", "tall")
    grey = np.abs(read_image(dataset.images[0].path).astype(int) - 128).max(axis=2) < 3
    assert np.count_nonzero(grey) == pytest.approx(3 * 60 * 80 + 90 * 50, rel=0.04)
