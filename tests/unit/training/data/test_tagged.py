from __future__ import annotations

from pathlib import Path

import pytest

from training.data.tagged import TaggedImage, TrueObject, subsampled, with_known_objects


@pytest.mark.parametrize(
    ("tags", "labels", "confirmed", "measured"),
    [
        pytest.param(("nut",), ("nut", "nut"), None, True, id="boxes"),
        pytest.param(("bolt", "nut"), ("nut",), None, False, id="one-tag-without-a-box"),
        pytest.param(("nut",), (), None, False, id="no-box"),
        pytest.param((), (), None, True, id="negative"),
        pytest.param(("nut",), ("nut",), False, False, id="not-confirmed"),
    ],
)
def test_images_with_a_box_for_each_tag_can_be_measured_on(
    tags: tuple[str, ...], labels: tuple[str, ...], confirmed: bool | None, measured: bool
) -> None:
    objects = tuple(TrueObject(label, (0.0, 0.0, 1.0, 1.0)) for label in labels)
    image = TaggedImage("a", Path("a.jpg"), (8, 8), tags, objects, confirmed)
    assert with_known_objects([image]) == ((image,) if measured else ())


@pytest.mark.parametrize(
    ("step", "kept"),
    [
        pytest.param(1, "abcdef", id="all"),
        pytest.param(2, "abce", id="every-second-of-the-others"),
        pytest.param(9, "abc", id="the-first-of-the-others"),
    ],
)
def test_confirmed_images_are_in_every_sample(step: int, kept: str) -> None:
    confirmed = {"a": None, "b": True, "c": True, "d": None, "e": False, "f": None}
    images = [TaggedImage(name, Path(f"{name}.jpg"), (8, 8), ("nut",), (), known) for name, known in confirmed.items()]
    assert "".join(image.id for image in subsampled(images, step)) == kept
