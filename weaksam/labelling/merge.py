"""The shards of a folder put together: the same files, byte for byte, as of one run over all of it."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from weaksam.files.full_disk import writing_into
from weaksam.files.image_files import (
    FOLDER_UNREADABLE,
    JOURNAL,
    NAME_NOT_UTF8,
    NO_REGULAR_FILE,
    UNSUPPORTED_FORMAT,
)
from weaksam.labelling.journal import Journal, JournalError, RunIdentity, reopen_journal
from weaksam.labelling.outputs import FAILURES, LEDGER, Outcome, write_files
from weaksam.labelling.report import FAILURE_COLUMNS, read_rows
from weaksam.labelling.shard import Shard, parse_shard
from weaksam.labelling.worklist import IMAGE_MISSING, Failure
from weaksam.schemas import DetectResult

# Failures of what is no usable image of the folder, and so has no place among the ids.
WITHOUT_ID = (IMAGE_MISSING, NAME_NOT_UTF8, FOLDER_UNREADABLE, NO_REGULAR_FILE, UNSUPPORTED_FORMAT)


@dataclass(frozen=True)
class MergeSummary:
    """Numbers of images and detections in the merged files."""

    labelled: int
    detections: int
    failed: int


@dataclass(frozen=True)
class _Part:
    folder: Path
    journal: Journal
    identity: RunIdentity
    shard: Shard


def merge_shards(folders: Sequence[Path], out: Path, photos: Path | None = None) -> MergeSummary:
    """Write into `out` what one run over the whole folder would have written; the journals stay where they are.

    Without `photos`, the folder that was labelled, the contact sheet has no thumbnails.

    Raises:
        JournalError: a shard is missing, doubled or still running, or the shards are not of one run.
        UserError: the ledger or the failures of a shard were changed.
        OSError: a file cannot be read or written.
    """
    with ExitStack() as stack:
        parts = [_open_part(folder, stack) for folder in folders]
        _check_whole(parts)
        if any(out.resolve() == part.folder.resolve() for part in parts):
            raise JournalError(f"{out} is itself one of the shards: give another folder for the merged files")
        with writing_into(out):
            return _merge(parts, out, photos)


def _merge(parts: Sequence[_Part], out: Path, photos: Path | None) -> MergeSummary:
    # What a journal holds may be out of date; the ledger has every image that the run ended with.
    place = {row["image"]: part.journal for part in parts for row in read_rows(part.folder / LEDGER)}
    failed = [row for part in parts for row in read_rows(part.folder / FAILURES, FAILURE_COLUMNS)]
    failures = [Failure(row["image"], row["code"], row["message"]) for row in failed]
    images = {*place, *(failure.image for failure in failures if failure.code not in WITHOUT_ID)}

    def result(image: str) -> DetectResult:
        return place[image].result(image)

    identity = parts[0].identity
    outcome = Outcome(
        identity.labels, identity.bundle, identity.options, sorted(images), frozenset(place), failures, result, photos
    )
    return MergeSummary(len(place), write_files(outcome, out), len(failures))


def _open_part(folder: Path, stack: ExitStack) -> _Part:
    for name in (JOURNAL, LEDGER, FAILURES):
        if not (folder / name).is_file():
            raise JournalError(f"{folder} holds no {name}: give folders that `weaksam label --shard` has finished")
    journal, identity = stack.enter_context(reopen_journal(folder / JOURNAL))
    if identity.shard is None:
        raise JournalError(f"{folder} is no shard but a run over a whole folder: there is nothing to merge")
    return _Part(folder, journal, identity, parse_shard(identity.shard))


def _check_whole(parts: Sequence[_Part]) -> None:
    first = parts[0]
    for part in parts:
        for what in ("bundle", "options", "labels"):
            if getattr(part.identity, what) != getattr(first.identity, what):
                raise JournalError(f"{first.folder} and {part.folder} are not of one run: their {what} differ")
        if part.shard.count != first.shard.count:
            raise JournalError(f"{first.folder} is shard {first.shard}, {part.folder} is {part.shard}: not of one run")
    given = sorted(part.shard.index for part in parts)
    if given != list(range(first.shard.count)):
        raise JournalError(
            f"the shards given are {', '.join(map(str, given))} of 0 to {first.shard.count - 1}: give each once"
        )
