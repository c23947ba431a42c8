from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from models.labels import Label, LabelSet
from training.data.tagged import TaggedImage, TrueObject
from training.runs.inputs import files_digest, images_digest

LABELS = LabelSet((Label("Nut"), Label("Bolt")))
BOX_XYXY = (0.0, 0.0, 4.0, 4.0)


@pytest.fixture
def image(tmp_path: Path) -> TaggedImage:
    (tmp_path / "a.jpg").write_bytes(b"picture")
    return TaggedImage("a", tmp_path / "a.jpg", (8, 8), ("Nut",))


def test_another_tag_another_file_and_another_picture_are_told_apart(image: TaggedImage, tmp_path: Path) -> None:
    (tmp_path / "b.jpg").write_bytes(b"a longer picture")
    variants = [
        [image],
        [image, image],
        [replace(image, tags=("Bolt",))],
        [replace(image, id="b")],
        [replace(image, path=tmp_path / "b.jpg")],
    ]
    digests = [images_digest(images, LABELS) for images in variants]
    digests.append(images_digest([image], LabelSet(LABELS.labels[::-1])))
    assert len(set(digests)) == len(digests)


def test_true_objects_count_only_where_they_are_learnt(image: TaggedImage) -> None:
    annotated = replace(image, objects=(TrueObject("Nut", BOX_XYXY),))
    assert images_digest([image], LABELS) == images_digest([annotated], LABELS)
    assert images_digest([image], LABELS, objects=True) != images_digest([annotated], LABELS, objects=True)


def test_files_count_by_content_and_order(tmp_path: Path) -> None:
    first, second, same = (tmp_path / name for name in ("first", "second", "same"))
    for path, text in ((first, "1"), (second, "2"), (same, "1")):
        path.write_text(text)
    assert files_digest([first, second]) == files_digest([same, second])
    assert files_digest([first, second]) != files_digest([second, first])
