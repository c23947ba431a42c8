from __future__ import annotations

from pathlib import Path

from tests.unit.training.data.conftest import write_image
from training.data.open_together import open_together
from training.data.tiles import tag_vector


def test_spellings_of_several_data_sets_are_one_label(tmp_path: Path) -> None:
    for name in ("first/Bolt/1.jpg", "first/Nut/1.jpg", "second/bolt/1.jpg", "second/pen/1.jpg"):
        write_image(tmp_path / name)

    opened = open_together([tmp_path / "first", tmp_path / "second"], "train")

    assert opened.labels.names == ("Bolt", "Nut", "pen")
    bolts = [image.path.parent.name for image in opened.images if tag_vector(image.tags, opened.labels)[0]]
    assert bolts == ["Bolt", "bolt"]
