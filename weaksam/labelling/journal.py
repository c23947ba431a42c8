"""The journal of a labelling run: one JSON line for each finished image, so that a killed run can go on."""

from __future__ import annotations

import fcntl
import json
import os
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, BinaryIO, TypeVar

from pydantic import TypeAdapter, ValidationError

from weaksam.errors import UserError
from weaksam.findings import first_fault
from weaksam.labelling.option_changes import told_changes
from weaksam.schemas import BundleInfo, DetectResult

JOURNAL_VERSION = 2
RESULT_KEY = "answer"  # as in the journals of earlier versions, which can go on
OTHER_OUT = "give another --out"
RESEND = f"remove the line, so that its image is sent again, or {OTHER_OUT}"
SYNC_EVERY_ENTRIES = 32
SYNC_EVERY_S = 1.0
# S3, Google Cloud Storage and HTTP; the last one is for HTTP servers without an ETag.
ETAGS = ("ETag", "etag", "Last-Modified")


class JournalError(UserError):
    """A journal that this run must not go on with; the message says what to do."""


@dataclass(frozen=True)
class RunIdentity:
    """What all results of one journal have in common; those of another bundle or other options do not mix with them.

    Attributes:
        bundle: the service's bundle.
        options: the options of the request that change its result.
        labels: of the bundle, in its order.
        shard: the part of the folder that the run is about, i/n; None: all of it.
    """

    bundle: BundleInfo
    options: dict[str, Any]
    labels: tuple[str, ...]
    shard: str | None = None


@dataclass(frozen=True)
class Stamp:
    """What a result was for: if any of it has changed, the image is sent again. Files on a disk have no `etag`."""

    size_bytes: int
    changed_ns: int
    tags: tuple[str, ...]
    etag: str = ""


def stamp_of(path: Path, tags: tuple[str, ...]) -> Stamp:
    """Return the stamp of an image as it is now; raise OSError if it cannot be read."""
    status = path.stat()
    # What a path behind an address knows beside size and time.
    known: dict[str, Any] = getattr(status, "as_info", dict)()
    etag = next((str(known[name]) for name in ETAGS if known.get(name)), "")
    return Stamp(status.st_size, status.st_mtime_ns, tags, etag)


@dataclass(frozen=True)
class _Entry:
    """A stored result without the result itself, which is read only when it is asked for."""

    image: str
    stamp: Stamp


Valid = TypeVar("Valid")
_IDENTITY, _ENTRY = TypeAdapter(RunIdentity), TypeAdapter(_Entry)


class Journal:
    """Results by image, in a file that is only ever appended to. Made by `open_journal`."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._places: dict[str, tuple[Stamp, int]] = {}
        self._end = 0
        self._unsynced = 0
        self._synced_s = time.monotonic()

    def holds(self, image: str, stamp: Stamp) -> bool:
        """Tell if `image`, unchanged and with these tags, has its result."""
        known = self._places.get(image)
        return known is not None and known[0] == stamp

    def count(self, tags: Mapping[str, tuple[str, ...]]) -> int:
        """Return how many of these images have a result for these tags, without a look at their files."""
        return sum(image in self._places and self._places[image][0].tags == given for image, given in tags.items())

    def add(self, image: str, stamp: Stamp, result: DetectResult) -> None:
        """Store a result. It outlives the process at once, and the machine within a second or 32 results."""
        place = self._end
        self._append(_line({"image": image, "stamp": asdict(stamp), RESULT_KEY: result.model_dump(mode="json")}))
        self._places[image] = (stamp, place)
        self._unsynced += 1
        if self._unsynced >= SYNC_EVERY_ENTRIES or time.monotonic() - self._synced_s >= SYNC_EVERY_S:
            self.sync()

    def result(self, image: str) -> DetectResult:
        """Return the stored result of an image.

        Raises:
            JournalError: there is none, or its line is damaged.
        """
        if image not in self._places:
            raise JournalError(f"{self._file.name} holds no result of {image}: give the command of that run again")
        self._file.seek(self._places[image][1])
        try:
            return DetectResult.model_validate(json.loads(self._file.readline())[RESULT_KEY])
        except (ValueError, KeyError) as error:
            raise JournalError(f"{self._file.name}: the result of {image} is damaged: {RESEND}") from error

    def sync(self) -> None:
        """Wait until everything stored is on the disk."""
        os.fsync(self._file.fileno())
        self._unsynced = 0
        self._synced_s = time.monotonic()

    def resume(self, identity: RunIdentity) -> None:
        """Read what an earlier run stored, or begin with `identity`; a torn last line is cut off.

        Raises:
            JournalError: the journal belongs to another bundle or other options, or is damaged.
        """
        before = self.read()
        if before is not None:
            _check_same(before, identity, self._file.name)
        self._file.truncate(self._end)
        if before is None:
            self._append(_line(_header(identity)))
            self.sync()

    def read(self) -> RunIdentity | None:
        """Read what was stored, and return which run it is of; None if there is nothing yet.

        Raises:
            JournalError: as `resume`.
        """
        entries = self._entries()
        header = next(entries, None)
        for number, (offset, content) in enumerate(entries, start=2):
            entry = _validated(_ENTRY, content, f"{self._file.name}: line {number}", RESEND)
            self._places[entry.image] = (entry.stamp, offset)
        return None if header is None else _identity(header[1], self._file.name)

    def _append(self, line: bytes) -> None:
        # Not through the file's buffer, which would try a failed write again when it is closed.
        rest = memoryview(line)
        try:
            while rest:
                rest = rest[os.write(self._file.fileno(), rest) :]
        except OSError:
            self._file.truncate(self._end)  # the disk is full: half a line must not stay
            raise
        self._end += len(line)

    def _entries(self) -> Iterator[tuple[int, dict[str, Any]]]:
        """Yield offset and content of each whole line; afterwards `_end` is where the last whole line ends."""
        self._file.seek(0)
        for number, line in enumerate(self._file, start=1):
            entry = _parsed_head(line)
            if entry is None and self._file.read(1):  # only the last line can be torn by a kill
                raise JournalError(
                    f"{self._file.name}: line {number} is damaged: {RESEND if number > 1 else OTHER_OUT}"
                )
            if entry is None:
                return
            yield self._end, entry
            self._end += len(line)


@contextmanager
def alone_in(path: Path) -> Iterator[BinaryIO]:
    """Open the file of a journal, and keep other runs away from its folder meanwhile.

    Raises:
        JournalError: another run has it open.
    """
    with path.open("a+b") as file:
        _lock(file, fcntl.LOCK_EX, f"{path} is in use by another run: wait for it or {OTHER_OUT}")
        yield file


@contextmanager
def open_journal(path: Path, identity: RunIdentity) -> Iterator[Journal]:
    """Open the journal at `path`, or make it, for one process at a time.

    Raises:
        JournalError: another run has it open, or it belongs to another bundle or other options.
    """
    with alone_in(path) as file:
        journal = Journal(file)
        journal.resume(identity)
        try:
            yield journal
        finally:
            journal.sync()


@contextmanager
def reopen_journal(path: Path) -> Iterator[tuple[Journal, RunIdentity]]:
    """Open the journal of a run that has ended, to read its results.

    Raises:
        JournalError: a run has it open, or it holds nothing.
    """
    with path.open("rb") as file:
        _lock(file, fcntl.LOCK_SH, f"{path} is in use by a run: wait for its end")
        journal = Journal(file)
        identity = journal.read()
        if identity is None:
            raise JournalError(f"{path} holds no results: run that shard again")
        yield journal, identity


def _lock(file: BinaryIO, kind: int, if_taken: str) -> None:
    try:
        fcntl.flock(file, kind | fcntl.LOCK_NB)
    except BlockingIOError as error:
        raise JournalError(if_taken) from error
    except OSError as error:
        raise JournalError(
            f"{file.name} cannot be locked, as some network folders cannot ({error.strerror}): "
            "give an --out on a disk of this machine"
        ) from error


def _line(entry: dict[str, Any]) -> bytes:
    return json.dumps(entry, separators=(",", ":")).encode() + b"\n"


def _parsed_head(line: bytes) -> dict[str, Any] | None:
    """Return the members of a whole line before its result, or None. Results are parsed when they are asked for."""
    head, found, _ = line.partition(b',"%b":{' % RESULT_KEY.encode())  # a quote within a name would be escaped
    if not line.endswith(b"}\n"):
        return None
    try:
        entry = json.loads(head + b"}" if found else line)
    except ValueError:
        return None
    return entry if isinstance(entry, dict) else None


def _header(identity: RunIdentity) -> dict[str, Any]:
    return {"version": JOURNAL_VERSION, **_IDENTITY.dump_python(identity, mode="json")}


def _identity(header: dict[str, Any], path: str) -> RunIdentity:
    if header.get("version") != JOURNAL_VERSION:
        raise JournalError(f"{path} is no journal of this release: {OTHER_OUT}")
    return _validated(_IDENTITY, header, f"{path}: line 1", OTHER_OUT)


def _validated(kind: TypeAdapter[Valid], content: object, place: str, remedy: str) -> Valid:
    try:
        return kind.validate_json(json.dumps(content), strict=True)
    except ValidationError as error:
        told = first_fault(error).sentence("the line")
        raise JournalError(f"{place} is damaged: {told}: {remedy}") from error


def _check_same(first: RunIdentity, identity: RunIdentity, path: str) -> None:
    before, now = first.bundle, identity.bundle
    if before.digest != now.digest:
        raise JournalError(
            f"{path} holds results of bundle {before.name} {before.version} ({before.digest[:12]}), "
            f"the server has {now.name} {now.version} ({now.digest[:12]}): "
            "serve the first bundle again or give another --out"
        )
    if first.shard != identity.shard:
        raise JournalError(
            f"{path} is about shard {first.shard or 'none, all images'}, now it is {identity.shard or 'none'}: "
            "give the first one again or another --out"
        )
    if first.options != identity.options:
        raise JournalError(
            f"{path} holds results with other options: {told_changes(first.options, identity.options)}: "
            "give the first options again or another --out"
        )
