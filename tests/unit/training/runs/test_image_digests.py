from __future__ import annotations

import hashlib
import os
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from tests.unit.training.data.conftest import write_image
from training.data.tagged import TaggedImage, TrueObject
from training.runs.image_digests import ImageDigests, image_key


@pytest.fixture
def image(tmp_path: Path) -> TaggedImage:
    write_image(tmp_path / "a.png")
    return TaggedImage("a", tmp_path / "a.png", (60, 80), ("Bolt",), (TrueObject("Bolt", (1.0, 2.0, 3.0, 4.0)),))


def test_tags_boxes_and_pixels_count_and_the_place_does_not(image: TaggedImage, tmp_path: Path) -> None:
    digests = ImageDigests(tmp_path / "pictures.json")
    write_image(tmp_path / "other.png", (61, 80))
    (tmp_path / "moved").mkdir()
    moved = Path(shutil.copy(image.path, tmp_path / "moved" / "b.png"))
    first = digests.of_images([image])

    assert digests.of_images([replace(image, path=moved)]) == first
    for changed in (
        replace(image, tags=("Nut",)),
        replace(image, objects=()),
        replace(image, id="b"),
        replace(image, path=tmp_path / "other.png"),
    ):
        assert digests.of_images([changed]) != first
    assert digests.of_images([image, image]) != first


def test_a_file_is_read_again_when_its_size_or_time_changed(image: TaggedImage, tmp_path: Path) -> None:
    store = tmp_path / "pictures.json"
    first = ImageDigests(store).of_images([image])
    state = image.path.stat()
    image.path.write_bytes(image.path.read_bytes()[:-1] + b"x")
    os.utime(image.path, ns=(state.st_atime_ns, state.st_mtime_ns))
    assert ImageDigests(store).of_images([image]) == first, "known by size and time: not read"
    os.utime(image.path, ns=(state.st_atime_ns, state.st_mtime_ns + 1))
    assert ImageDigests(store).of_images([image]) != first


def test_a_key_is_that_of_bytes_and_tags_and_reads_a_file_once(image: TaggedImage, tmp_path: Path) -> None:
    first = image_key(image)
    assert first == hashlib.sha256(image.path.read_bytes() + b'["Bolt"]').hexdigest()[:24]
    moved = replace(image, path=Path(shutil.copy(image.path, tmp_path / "b.png")))
    assert image_key(moved) == first
    assert image_key(replace(image, tags=("Nut",))) != first

    state = image.path.stat()
    image.path.write_bytes(image.path.read_bytes()[:-1] + b"x")
    os.utime(image.path, ns=(state.st_atime_ns, state.st_mtime_ns))
    assert image_key(image) == first, "known by size and time: not read"
    os.utime(image.path, ns=(state.st_atime_ns, state.st_mtime_ns + 1))
    assert image_key(image) != first
