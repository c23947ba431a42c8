from __future__ import annotations

from pathlib import Path

import pytest

from tests.unit.training.data.conftest import write_image
from training.data.open_together import open_splits, open_together
from training.data.tiles import tag_vector


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
