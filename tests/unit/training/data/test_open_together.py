from __future__ import annotations

from pathlib import Path

import pytest

from models.labels import Label, LabelSet
from tests.unit.training.data.conftest import write_image
from training.data.open_together import OpenedData, open_splits, open_together, with_learnt_labels
from training.data.tagged import TaggedImage, TrueObject
from training.data.tiles import tag_vector
from weaksam.errors import UserError


def test_spellings_of_several_data_sets_are_one_label(tmp_path: Path) -> None:
    for name in ("first/Bolt/1.jpg", "first/Nut/1.jpg", "second/bolt/1.jpg", "second/pen/1.jpg"):
        write_image(tmp_path / name)

    opened = open_together([tmp_path / "first", tmp_path / "second"], "train")

    assert opened.labels.names == ("Bolt", "Nut", "pen")
    bolts = [image.path.parent.name for image in opened.images if tag_vector(image.tags, opened.labels)[0]]
    assert bolts == ["Bolt", "bolt"]


def test_images_of_nothing_are_learnt_from(tmp_path: Path) -> None:
    for name in ("crack/1.jpg", "No Crack/2.jpg"):
        write_image(tmp_path / "tiles" / name)
    write_image(tmp_path / "more" / "3.jpg")
    write_image(tmp_path / "more" / "4.jpg")
    (tmp_path / "more" / "tags.csv").write_text("file,tags\n3.jpg,\n4.jpg,crack\n")

    parts = [(tmp_path / "tiles", "train"), (tmp_path / "more", "train")]
    opened = open_splits(parts, background=["no crack"])

    assert opened.labels.names == ("crack",)
    assert {image.path.name: image.tags for image in opened.images} == {
        "1.jpg": ("crack",),
        "2.jpg": (),
        "3.jpg": (),
        "4.jpg": ("crack",),
    }


def test_a_background_that_is_no_label_is_refused(tmp_path: Path) -> None:
    write_image(tmp_path / "crack/1.jpg")
    with pytest.raises(ValueError, match=r"data\.background: none is no label of the data sets, which have crack"):
        open_splits([(tmp_path, "train")], background=["none"])


def test_data_without_usable_tags_is_refused_with_the_first_reason(tmp_path: Path) -> None:
    for name in ("1.jpg", "2.jpg"):
        write_image(tmp_path / name)
    (tmp_path / "tags.csv").write_text("file,tags\n1.jpg,wrench\n2.jpg,wrench\n")
    (tmp_path / "labels.txt").write_text("bolt\n")
    with pytest.raises(
        UserError, match=r"\(split fit\); the first reason is 1.jpg: class 'wrench' is not among the labels"
    ):
        open_together([tmp_path], "fit")


def test_a_split_that_gets_no_image_wants_more(tmp_path: Path) -> None:
    write_image(tmp_path / "bolt" / "1.jpg")
    with pytest.raises(UserError, match=r"\(split val\): give more images with tags"):
        open_together([tmp_path], "val")


def held_out(*tags_of_images: tuple[str, ...]) -> OpenedData:
    """Validation images 0.jpg, 1.jpg, ... with an object for each tag."""
    images = [
        TaggedImage(str(number), Path(f"{number}.jpg"), (60, 80), tags, tuple(TrueObject(tag, BOX) for tag in tags))
        for number, tags in enumerate(tags_of_images)
    ]
    return OpenedData(images, LabelSet((Label("bolt"), Label("Nut"), Label("Pin"))), (), ("a note",))


BOX = (1.0, 2.0, 3.0, 4.0)
LEARNT = LabelSet((Label("Bolt"), Label("Pinion")))


def test_a_class_that_nothing_teaches_is_left_out_of_what_is_held_out_and_told_of() -> None:
    opened = with_learnt_labels(held_out(("bolt",), ("bolt", "Pin"), ("Nut",), ("Pin",)), LEARNT)
    assert [image.tags for image in opened.images] == [("bolt",), ("bolt",), (), ()]
    assert [[thing.label for thing in image.objects] for image in opened.images] == [["bolt"], ["bolt"], [], []]
    assert (opened.labels, opened.notes) == (LEARNT, ("a note",))
    pin, nut = opened.problems
    assert (pin.file, pin.field, nut.file) == ("1.jpg", "tags", "2.jpg")
    assert pin.message == (
        "class 'Pin' is not learnt, since the training images do not have it (nearest: Pinion, Bolt); left out of 2 "
        "validation images. Add training images of it, or correct its spelling"
    )


def test_what_is_held_out_must_have_a_class_that_is_learnt() -> None:
    with pytest.raises(
        ValueError, match=r"data: no validation image has a tag that is learnt\. 0\.jpg: class 'Nut' is"
    ):
        with_learnt_labels(held_out(("Nut",), ()), LEARNT)
