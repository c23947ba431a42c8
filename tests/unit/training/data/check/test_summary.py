from __future__ import annotations

from pathlib import Path

from training.data.check.summary import ClassCount, count_classes, warnings
from training.data.tagged import TaggedDataset, TaggedImage, TrueObject


def test_classes_are_counted_and_those_that_cannot_be_learnt_are_named() -> None:
    box = TrueObject("nut", (0.0, 0.0, 1.0, 1.0))
    images = [TaggedImage(str(n), Path(f"{n}.jpg"), (2, 2), ("bolt",), ()) for n in range(19)]
    images += [TaggedImage("19", Path("19.jpg"), (2, 2), ("bolt", "nut"), (box, box))]
    dataset = TaggedDataset("d", ("bolt", "nut", "pin"), tuple(images))

    assert count_classes(dataset) == [ClassCount("bolt", 20, 0), ClassCount("nut", 1, 2), ClassCount("pin", 0, 0)]
    everywhere, rare = warnings(dataset)
    assert everywhere.startswith("bolt is on every image")
    assert rare.startswith("fewer than 20 images: nut (1), pin (0).")


def test_nothing_is_said_of_good_classes() -> None:
    images = tuple(TaggedImage(str(n), Path(f"{n}.jpg"), (2, 2), ("bolt",) if n % 2 else ()) for n in range(40))
    assert list(warnings(TaggedDataset("d", ("bolt",), images))) == []
