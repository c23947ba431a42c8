"""The decisions of all reviewers in one SQLite file: nothing is overwritten, and two of one version cannot be."""

from __future__ import annotations

import math
import sqlite3
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from pydantic import TypeAdapter

from weaksam.errors import UserError
from weaksam.formats.labelled_document import DecisionState
from weaksam.review.errors import ConflictingDecision, NotStored
from weaksam.review.schemas import Decision, ReviewObject

CLAIM_S = 600.0
SCHEMA = """
create table if not exists run (dataset_sha256 text not null);
create table if not exists decisions (
    image_id integer not null,
    version integer not null,  -- counts from 1
    state text not null,
    objects text,              -- JSON; null unless corrected
    reviewer text not null,
    decided_at real not null,  -- seconds since 1970
    primary key (image_id, version)
);
create table if not exists claims (image_id integer primary key, reviewer text not null, until real not null);
"""
# SQLite takes the other columns from the row of the maximum: https://sqlite.org/lang_select.html#bareagg
LATEST = "select image_id, max(version), state, objects, reviewer from decisions group by image_id"
LATEST_OF = "select max(version), state, objects, reviewer from decisions where image_id = ? group by image_id"
_OBJECTS = TypeAdapter(tuple[ReviewObject, ...])


@dataclass(frozen=True)
class Decided:
    """The last decision on an image. `objects` are None unless it was corrected."""

    version: int
    state: DecisionState
    objects: tuple[ReviewObject, ...] | None
    reviewer: str


class ReviewJournal:
    """Decisions and claims. Safe to call from many threads; a decision is on the disk when `decide` returns.

    Args:
        path: of the SQLite file; made if it is not there.
        dataset_sha256: digest of the labelling run's `dataset.json`.
        now: seconds since 1970.

    Raises:
        UserError: the file belongs to another labelling run, is no journal, is in use, or cannot be opened.
    """

    def __init__(self, path: Path, dataset_sha256: str, now: Callable[[], float] = time.time) -> None:
        self._lock = threading.Lock()
        self._now = now
        try:
            self._database = sqlite3.connect(path, timeout=1, check_same_thread=False)
        except sqlite3.Error as error:
            raise UserError(f"{path} cannot be opened ({error}): allow it, or give another --out") from error
        try:
            self._open(path, dataset_sha256)
        except sqlite3.Error as error:
            self._database.close()
            remedy = "stop the `weaksam review` that uses it, or give another --out"
            raise UserError(f"{path} cannot be used as a journal of reviews ({error}): {remedy}") from error
        except UserError:
            self._database.close()
            raise

    def close(self) -> None:
        """Close the file."""
        self._database.close()

    def latest(self) -> dict[int, Decided]:
        """Return the last decision on each image that has one, by the image's id."""
        with self._lock:
            return {row[0]: _decided(*row[1:]) for row in self._database.execute(LATEST)}

    def decide(self, image_id: int, decision: Decision) -> Decided:
        """Store a decision, and end the claim on its image.

        Raises:
            ConflictingDecision: it was made on another version than the image has.
            NotStored: the disk is full, for example.
        """
        objects = None if decision.objects is None else _OBJECTS.dump_json(decision.objects).decode()
        row = (image_id, decision.version + 1, decision.state, objects, decision.reviewer, self._now())
        try:
            with self._lock, self._database:
                before = self._latest_of(image_id)
                if decision.version != (before.version if before else 0):
                    raise _conflict(before)
                self._database.execute("insert into decisions values (?, ?, ?, ?, ?, ?)", row)
                self._database.execute("delete from claims where image_id = ?", (image_id,))
        except sqlite3.OperationalError as error:
            raise NotStored(f"the journal cannot be written: {error}") from error
        return Decided(decision.version + 1, decision.state, decision.objects, decision.reviewer)

    def claim(self, image_ids: Iterable[int], reviewer: str, count: int) -> list[int]:
        """Return the first `count` of the images that no one else holds, and hold them for `reviewer`.

        They are no more than half of such images, rounded up, or than the reviewer holds already: others get some of
        the last images too. What the reviewer held before is theirs again if it is among them, and free otherwise: a
        `count` of 0 gives everything back.
        """
        with self._lock, self._database:
            self._database.execute("delete from claims where until < ?", (self._now(),))
            holder_of = dict(self._database.execute("select image_id, reviewer from claims"))
            left = (image_id for image_id in image_ids if holder_of.get(image_id, reviewer) == reviewer)
            first = list(islice(left, 2 * count))  # of more, half is more than `count`
            held = sum(image_id in holder_of for image_id in first)
            mine = first[: min(count, max(math.ceil(len(first) / 2), held))]
            self._database.execute("delete from claims where reviewer = ?", (reviewer,))
            until = self._now() + CLAIM_S
            rows = [(image_id, reviewer, until) for image_id in mine]
            self._database.executemany("insert into claims values (?, ?, ?)", rows)
        return mine

    def _open(self, path: Path, dataset_sha256: str) -> None:
        # One server alone: another one would go on with decisions that it has not seen.
        self._database.execute("pragma locking_mode = exclusive")
        self._database.execute("pragma synchronous = full")
        with self._database:
            self._database.executescript(SCHEMA)
            known = self._database.execute("select dataset_sha256 from run").fetchone()
            if known is None:
                self._database.execute("insert into run values (?)", (dataset_sha256,))
            elif known[0] != dataset_sha256:
                raise UserError(f"{path} holds the review of another labelling run: give another --out")

    def _latest_of(self, image_id: int) -> Decided | None:
        row = self._database.execute(LATEST_OF, (image_id,)).fetchone()
        return None if row is None else _decided(*row)


def _decided(version: int, state: DecisionState, objects: str | None, reviewer: str) -> Decided:
    return Decided(version, state, None if objects is None else _OBJECTS.validate_json(objects), reviewer)


def _conflict(before: Decided | None) -> ConflictingDecision:
    if before is None:
        return ConflictingDecision("no one has decided on this image yet: the version must be 0")
    return ConflictingDecision(f"{before.reviewer} has {before.state} this image meanwhile (version {before.version})")
