from __future__ import annotations

import pytest

from models.labels import Label, LabelSet

LABELS = LabelSet((Label("AdjustableWrench", ("monkey wrench",)), Label("Nut"), Label("Bolt")))


@pytest.mark.parametrize(
    ("tag", "index"),
    [
        ("AdjustableWrench", 0),
        ("adjustable wrench", 0),
        ("ADJUSTABLE_WRENCH", 0),
        ("Monkey-Wrench", 0),
        (" nut ", 1),
        pytest.param("nut\u200b", 1, id="zero-width space"),
        pytest.param("\ufeffnut", 1, id="byte order mark"),
        pytest.param("nu\u00adt\u00a0", 1, id="soft hyphen and no-break space"),
        pytest.param("\u200enut\u200f", 1, id="direction marks"),
        ("wrench", None),
        ("", None),
    ],
)
def test_tags_match_without_regard_to_spelling(tag: str, index: int | None) -> None:
    assert LABELS.index(tag) == index


def test_tags_that_are_no_labels_have_no_index() -> None:
    assert LABELS.indices(["bolt", "wrench", "Monkey-Wrench", "bolt"]) == [2, 0, 2]


def test_accents_match_composed_or_not() -> None:
    composed, apart = "Schl\u00fcssel", "Schlu\u0308ssel"
    assert LabelSet((Label(composed),)).index(apart) == 0


def test_nearest_names_the_closest_spelling_first() -> None:
    assert LABELS.nearest("bold", count=2)[0] == "Bolt"


def test_nearest_gives_a_label_once_though_its_alias_is_near_too() -> None:
    assert sorted(LABELS.nearest("adjustable monkey wrench")) == ["AdjustableWrench", "Bolt", "Nut"]


@pytest.mark.parametrize(
    "labels",
    [
        pytest.param((Label("Nut"), Label("nut")), id="same folded name"),
        pytest.param((Label("Nut"), Label("Bolt", ("NUT",))), id="alias of another"),
        pytest.param((Label("Nut"), Label("Nut")), id="twice"),
    ],
)
def test_labels_that_cannot_be_told_apart_are_refused(labels: tuple[Label, ...]) -> None:
    with pytest.raises(ValueError, match="(?i)nut|distinct"):
        LabelSet(labels)
