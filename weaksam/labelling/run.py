"""Label a folder of tagged images through a service: every image once, whatever happens in between."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from weaksam.client import AsyncClient, ClientError, ServerUnreachable, UnknownTags
from weaksam.errors import UserError
from weaksam.files.atomic import remove_drafts
from weaksam.files.full_disk import writing_into
from weaksam.files.image_files import JOURNAL
from weaksam.files.image_source import as_os_errors, is_address
from weaksam.labelling.journal import Journal, JournalError, RunIdentity, open_journal, stamp_of
from weaksam.labelling.odd_results import check_found_labels, check_label_names, check_places
from weaksam.labelling.outputs import FILES, Outcome, write_files
from weaksam.labelling.shard import Shard
from weaksam.labelling.shrink import restore, shrink
from weaksam.labelling.worklist import Failure, Worklist, unreadable
from weaksam.schemas import BundleInfo, DetectResult, LabelsResponse

OnDone = Callable[[Failure | None], None]
OnLabels = Callable[[LabelsResponse], None]
OnResume = Callable[[int, int], None]


@dataclass(frozen=True)
class LabelJob:
    """A folder, what is to be found in it, and where the files go.

    Attributes:
        max_side: images with a longer side are made that small before they are sent; None sends every file as it is.
        masks: whether masks are wanted, or boxes alone.
        zoom: whether small objects are looked at again, enlarged, for better masks.
        server: address of the service, which the contact sheet names for a review; None leaves it out.
    """

    folder: Path
    out: Path
    worklist: Worklist
    min_score: float | None = None
    unknown_tags: UnknownTags = "error"
    shard: Shard | None = None
    max_side: int | None = None
    masks: bool = True
    zoom: bool = False
    server: str | None = None

    def __post_init__(self) -> None:
        if not is_address(self.folder) and self.folder.resolve() == self.out.resolve():
            raise UserError(f"--out {self.out} is the folder of the images: give another one")

    @property
    def options(self) -> dict[str, Any]:
        """Return what changes the results; options of later versions are absent while they have their default."""
        options: dict[str, Any] = {"min_score": self.min_score, "unknown_tags": self.unknown_tags}
        if self.max_side is not None:
            options["max_side"] = self.max_side
        if not self.masks:
            options["masks"] = "none"
        if self.zoom:
            options["zoom"] = True
        return options

    def identity(self, bundle: BundleInfo, labels: Iterable[str]) -> RunIdentity:
        """Return what a journal of this job begins with."""
        return RunIdentity(bundle, self.options, tuple(labels), None if self.shard is None else str(self.shard))


@dataclass(frozen=True)
class LabelSummary:
    """The outcome of a run.

    Attributes:
        labelled: images with a result.
        resumed: those of them that an earlier run had finished.
        detections: of all labelled images.
        failures: images without a result.
    """

    labelled: int
    resumed: int
    detections: int
    failures: tuple[Failure, ...]

    @property
    def error_rate(self) -> float:
        """Return the share of the images that have no result."""
        # A small shard may have nothing to do.
        return len(self.failures) / max(1, self.labelled + len(self.failures))


async def label_folder(
    job: LabelJob,
    client: AsyncClient,
    *,
    workers: int,
    on_done: OnDone,
    on_labels: OnLabels = lambda _: None,
    on_resume: OnResume = lambda *_: None,
) -> LabelSummary:
    """Send every tagged image that has no result yet, then write the COCO files, the failures and the ledger.

    Args:
        workers: images in work at once; the client may allow fewer requests than that.
        on_done: called after each tagged image, with what went wrong or None.
        on_labels: called with the service's labels before any image is sent.
        on_resume: called before that if earlier runs labelled images: how many, and how many are left. Of the former,
            those whose file has changed are sent again.

    Raises:
        ClientError: the service does not respond at all when the run starts.
        JournalError: `job.out` holds a run of another bundle, with other options, or one in progress.
        OSError: a file of `job.out` cannot be written, or its disk is full.
    """
    await _reach(client)
    labels = await client.labels()
    check_label_names([row.name for row in labels.labels])
    on_labels(labels)
    identity = job.identity(labels.bundle, (row.name for row in labels.labels))
    with writing_into(job.out), open_journal(job.out / JOURNAL, identity) as journal:
        run = _Run(job, client, journal, identity, on_done)
        if done := journal.count(job.worklist.tags):
            on_resume(done, len(job.worklist.tags) - done)
        await run.send_all(workers)
        failures = (*job.worklist.failures, *run.failures)
        return finish(job, identity, journal, run.finished, run.resumed, failures)


async def _reach(client: AsyncClient) -> None:
    """Ask once and without patience: at the start the address is wrong, or nothing was started."""
    try:
        await client.reach()
    except ServerUnreachable as error:
        if error.code != "unreachable":
            raise
        remedy = "start it with `weaksam serve`, or give its address with --server"
        raise ServerUnreachable(error.code, f"{error}: {remedy}") from error


def finish(
    job: LabelJob,
    identity: RunIdentity,
    journal: Journal,
    finished: set[str],
    resumed: int,
    failures: tuple[Failure, ...],
) -> LabelSummary:
    """Write the files of a run whose results are all in the journal."""
    remove_drafts(job.out, FILES)
    outcome = Outcome(
        identity.labels,
        identity.bundle,
        identity.options,
        job.worklist.images,
        frozenset(finished),
        failures,
        journal.result,
        job.folder,
        job.server,
    )
    return LabelSummary(len(finished), resumed, write_files(outcome, job.out), failures)


@dataclass
class _Run:
    job: LabelJob
    client: AsyncClient
    journal: Journal
    identity: RunIdentity
    on_done: OnDone
    failures: list[Failure] = field(default_factory=list)
    finished: set[str] = field(default_factory=set)
    resumed: int = 0
    server_gone: str | None = None

    async def send_all(self, workers: int) -> None:
        images = iter(self.job.worklist.tags)
        try:
            async with asyncio.TaskGroup() as group:
                for _ in range(workers):
                    group.create_task(self._work(images))
        except ExceptionGroup as stopped:
            # The first error has stopped the other workers; it alone says what is wrong.
            raise stopped.exceptions[0] from stopped

    async def _work(self, images: Iterator[str]) -> None:
        for image in images:
            failure = await self._label(image)
            if failure is None:
                self.finished.add(image)
            else:
                self.failures.append(failure)
            self.on_done(failure)

    async def _label(self, image: str) -> Failure | None:
        path, tags = self.job.folder / image, self.job.worklist.tags[image]
        try:
            with as_os_errors():
                # Before the pixels are read: if the file changes meanwhile, the next run sees another stamp.
                stamp = await asyncio.to_thread(stamp_of, path, tags)
                if self.journal.holds(image, stamp):
                    self.resumed += 1
                    return None
                result = await self._result(path, tags)
        except ClientError as error:
            return Failure(image, error.code, str(error))
        except OSError as error:
            return unreadable(image, error)
        self.journal.add(image, stamp, result)
        return None

    async def _result(self, path: Path, tags: tuple[str, ...]) -> DetectResult:
        if self.server_gone is not None:
            raise ServerUnreachable("unreachable", self.server_gone)
        try:
            result = await detect_file(self.client, path, tags, self.job.options)
        except ServerUnreachable as error:
            # One image may bring a server down. Only if nothing responds, the others are not tried in vain.
            if not await self.client.alive():
                self.server_gone = str(error)
            raise
        digest = self.identity.bundle.digest
        if result.bundle.digest != digest:
            raise JournalError(
                f"the server has changed its bundle from {digest[:12]} to {result.bundle.digest[:12]} during the "
                "run: serve the first one again and give the same command, or start anew with another --out"
            )
        check_found_labels(result, self.identity.labels)
        return result


async def detect_file(client: AsyncClient, path: Path, tags: Sequence[str], options: Mapping[str, Any]) -> DetectResult:
    """Send one image with its tags; `options` are those of a job.

    Raises:
        ClientError: there is no result that can be used.
    """
    given, side = request_options(options), options.get("max_side")
    shrunk = None if side is None else await asyncio.to_thread(shrink, path, side)
    result = await client.detect(path if shrunk is None else shrunk.data, tags, **given)
    check_places(result)
    return result if shrunk is None else restore(result, shrunk.size_hw)


def request_options(options: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a request says of a job's options: all but ``max_side``, which changes the image."""
    given = {name: options[name] for name in ("min_score", "unknown_tags", "zoom") if name in options}
    return given | ({"mask_format": "none"} if options.get("masks") == "none" else {})
