"""A review in one process: a disk that is full for a while, and people who decide at once."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import pytest

from tests.support.servers.review_server import write_labelled
from weaksam.formats.labelled_document import DecisionState
from weaksam.review.app import Review, create_review_app
from weaksam.review.forward import Forwarder
from weaksam.review.journal import Decided, ReviewJournal
from weaksam.review.labelled_run import open_labelled_run
from weaksam.review.reviewed_files import ANNOTATIONS_JSON, write_reviewed
from weaksam.review.schemas import ClaimRequest, Decision


@pytest.fixture
def review(tmp_path: Path) -> Iterator[Review]:
    write_labelled(tmp_path)
    run, out = open_labelled_run(tmp_path / "labelled", tmp_path / "photos"), tmp_path / "reviewed"
    out.mkdir()
    review = Review(run, ReviewJournal(out / "review.sqlite", run.sha256), out)
    yield review
    review.journal.close()


def accept(review: Review, image_id: int, version: int = 0) -> None:
    review.decide(image_id, Decision(reviewer="ann", version=version, state="accepted", objects=None))


def full_disk(*_: Any) -> None:
    raise OSError(28, "No space left on device")


def test_what_a_full_disk_refused_is_written_once_there_is_room(
    review: Review, monkeypatch: pytest.MonkeyPatch
) -> None:
    accept(review, 1)
    monkeypatch.setattr("weaksam.review.app.write_reviewed", full_disk)
    with pytest.raises(OSError, match="No space left"):
        review.write()
    monkeypatch.setattr("weaksam.review.app.write_reviewed", write_reviewed)
    review.write()
    written = json.loads((review.out / ANNOTATIONS_JSON).read_text(encoding="utf-8"))
    assert written["info"]["review"] == {"accepted": 1}


async def test_a_last_write_that_fails_is_told_and_closes_everything(
    review: Review, monkeypatch: pytest.MonkeyPatch
) -> None:
    closed = []
    forwarder = Forwarder("http://127.0.0.1:9", None)

    async def aclose() -> None:
        closed.append("forwarder")

    monkeypatch.setattr(forwarder, "aclose", aclose)
    monkeypatch.setattr(review.journal, "close", lambda: closed.append("journal"))
    monkeypatch.setattr("weaksam.review.app.write_reviewed", full_disk)
    app = create_review_app(review, forwarder, lambda _: None, loopback_only=True)
    with pytest.raises(OSError, match="No space left"):
        async with app.router.lifespan_context(app):
            pass
    assert closed == ["journal", "forwarder"]


class DecidedMeanwhile:
    """A decision that is looked at just when someone decides on another image."""

    def __init__(self, review: Review) -> None:
        self._review = review

    @property
    def state(self) -> DecisionState:
        accept(self._review, 2)
        return "accepted"


def test_progress_is_counted_while_people_decide(review: Review) -> None:
    review.latest[1] = cast(Decided, DecidedMeanwhile(review))
    assert review.progress().accepted == 1
    assert 2 in review.latest


def test_of_two_decisions_the_later_one_stands(review: Review, monkeypatch: pytest.MonkeyPatch) -> None:
    stored, store = threading.Event(), review.journal.decide

    def decide(image_id: int, decision: Decision) -> Decided:
        decided = store(image_id, decision)
        if decided.version == 1:
            stored.set()
            time.sleep(0.2)  # the second one may overtake it here
        return decided

    monkeypatch.setattr(review.journal, "decide", decide)
    first = threading.Thread(target=accept, args=(review, 1))
    first.start()
    stored.wait()
    accept(review, 1, version=1)
    first.join()
    assert review.latest[1].version == 2


def test_a_review_of_a_sample_knows_no_other_images(review: Review) -> None:
    sampled = replace(review, sample=(3, 2))
    claimed = [sampled.claim(ClaimRequest(reviewer=name)) for name in ("ann", "ben", "eve")]
    assert [[entry.id for entry in entries] for entries in claimed] == [[3], [2], []]
    progress = sampled.progress()
    assert (progress.images, progress.open, progress.sample_of, progress.likely_accepted) == (2, 2, 4, None)


def test_a_sample_tells_of_the_whole_once_it_is_reviewed(review: Review) -> None:
    accept(review, 1)  # no part of the sample
    sampled = replace(review, sample=(3, 2))
    accept(sampled, 3)
    assert sampled.progress().likely_accepted is None
    sampled.decide(2, Decision(reviewer="ann", version=0, state="rejected", objects=None))
    progress = sampled.progress()
    assert (progress.open, progress.accepted, progress.rejected) == (0, 1, 1)
    assert progress.likely_accepted == pytest.approx((0.0945, 0.9055), abs=1e-4)
