"""The journal of a review: claims that end, and what a full disk or a foreign file says."""

from __future__ import annotations

import sqlite3
from collections import deque
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.faults.small_disk import small_disk
from weaksam.errors import UserError
from weaksam.review.errors import NotStored
from weaksam.review.journal import CLAIM_S, ReviewJournal
from weaksam.review.schemas import Decision, ReviewObject

OBJECT = ReviewObject(label="Nut" * 100, box_xyxy=(0, 0, 4, 4))


class Clock:
    now_s = 1000.0

    def __call__(self) -> float:
        return self.now_s


def test_a_claim_ends_and_the_image_goes_to_another(tmp_path: Path) -> None:
    clock = Clock()
    journal = ReviewJournal(tmp_path / "review.sqlite", "d", clock)
    assert journal.claim([1, 2, 3], "ann", 2) == [1, 2]
    clock.now_s += CLAIM_S / 2
    assert journal.claim([1, 2, 3], "ben", 2) == [3]
    assert journal.claim([2, 3], "ann", 2) == [2], "what is hers is renewed, what she has decided is not"
    clock.now_s += CLAIM_S + 1
    assert journal.claim([2], "ben", 2) == [2]
    assert journal.claim([2], "ann", 2) == []
    assert journal.claim([2], "ben", 0) == []
    assert journal.claim([2], "ann", 2) == [2], "what is given back is free at once"
    journal.close()


def test_of_the_last_images_each_reviewer_gets_some_and_keeps_them(tmp_path: Path) -> None:
    journal = ReviewJournal(tmp_path / "review.sqlite", "d")
    assert journal.claim(range(30), "ann", 10) == list(range(10))
    assert journal.claim(range(7), "ann", 10) == list(range(7)), "what she holds is hers"
    journal.claim([], "ann", 0)
    assert journal.claim(range(7), "ann", 10) == [0, 1, 2, 3]
    assert journal.claim(range(7), "ben", 10) == [4, 5]
    assert journal.claim(range(7), "eve", 10) == [6]
    assert journal.claim(range(7), "ann", 10) == [0, 1, 2, 3], "a reload keeps them"
    assert journal.claim(range(3, 7), "ann", 10) == [3], "three are decided, and others hold the rest"
    journal.close()


def test_every_decision_stays_in_the_file_and_the_last_one_counts(tmp_path: Path) -> None:
    path = tmp_path / "review.sqlite"
    journal = ReviewJournal(path, "d")
    journal.decide(7, Decision(reviewer="ann", version=0, state="corrected", objects=(OBJECT,)))
    journal.decide(7, Decision(reviewer="ben", version=1, state="corrected", objects=()))
    journal.close()
    again = ReviewJournal(path, "d")
    [(image_id, decided)] = again.latest().items()
    again.close()
    assert (image_id, decided.version, decided.objects, decided.reviewer) == (7, 2, (), "ben")
    with sqlite3.connect(path) as database:
        assert database.execute("select reviewer from decisions order by version").fetchall() == [("ann",), ("ben",)]


def test_another_file_is_refused_in_words(tmp_path: Path) -> None:
    path = tmp_path / "review.sqlite"
    path.write_bytes(b"no database at all, but long enough to be looked at" * 40)
    with pytest.raises(UserError, match=r"cannot be used as a journal of reviews \(file is not a database\)"):
        ReviewJournal(path, "d")


def test_a_journal_that_cannot_be_opened_says_so(tmp_path: Path) -> None:
    (tmp_path / "review.sqlite").mkdir()
    with pytest.raises(UserError, match=r"review\.sqlite cannot be opened .*: allow it, or give another --out"):
        ReviewJournal(tmp_path / "review.sqlite", "d")


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    yield from small_disk(tmp_path / "disk", "128k")


def test_a_full_disk_refuses_the_decision_and_keeps_the_earlier_ones(disk: Path) -> None:
    journal = ReviewJournal(disk / "review.sqlite", "d")
    decision = Decision(reviewer="ann", version=0, state="corrected", objects=(OBJECT,) * 5)
    with pytest.raises(NotStored, match="the journal cannot be written"):
        deque((journal.decide(image_id, decision) for image_id in range(1000)), maxlen=0)
    assert 5 < len(journal.latest()) < 1000
    journal.close()
