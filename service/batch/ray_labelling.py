"""Labelling of a folder with Ray Data: the service's pipeline in every worker of a cluster, without a server."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import ray
import ray.data

from service.errors import InternalError, ServiceError
from service.inference.decoding import decode
from service.inference.open_pipeline import configured_bundle, create_pipeline
from service.observability.logs import LOGGER_NAME
from service.settings import Settings
from weaksam.errors import UserError
from weaksam.files.full_disk import writing_into
from weaksam.files.image_files import JOURNAL
from weaksam.image_bytes import read_image_bytes
from weaksam.labelling.journal import Journal, Stamp, open_journal, stamp_of
from weaksam.labelling.run import LabelJob, LabelSummary, OnDone, OnResume, finish, request_options
from weaksam.labelling.worklist import Failure, unreadable
from weaksam.schemas import BundleInfo, DetectOptions, DetectResult

Batch = dict[str, npt.NDArray[Any]]
logger = logging.getLogger(LOGGER_NAME)


@dataclass(frozen=True)
class RayPlan:
    """How much of a cluster a run uses.

    Attributes:
        workers: copies of the pipeline, each a process.
        cpus_per_worker: cores that Ray keeps free for each.
        gpus_per_worker: GPUs that Ray keeps free for each; a fraction shares one.
        batch_size: images that a worker gets at a time; results are stored batch by batch.
    """

    workers: int
    cpus_per_worker: float
    gpus_per_worker: float
    batch_size: int


class LabelWorker:
    """One copy of the pipeline; Ray makes one in each worker process.

    Args:
        settings: bundle and backend, as for a service.
        folder: of the images, at this path on every machine.
    """

    def __init__(self, settings: Settings, folder: Path, options: DetectOptions) -> None:
        # One event loop for the worker's life: connections to Triton belong to the loop that opened them.
        self._loop = asyncio.Runner()
        self._pipeline = create_pipeline(settings)
        self._bounds = settings.max_pixels, settings.max_declared_pixels
        self._folder = folder
        self._options = options

    def __call__(self, batch: Batch) -> Batch:
        """Take images with their tags; return the same images with a result or a failure each, as JSON."""
        rows = self._loop.run(self._label_all(zip(batch["image"], batch["tags"], strict=True)))
        return {
            "image": batch["image"],
            "result": np.array([result for result, _ in rows], object),
            "failure": np.array([failure for _, failure in rows], object),
        }

    async def _label_all(self, rows: Iterable[tuple[str, str]]) -> list[tuple[str, str]]:
        return [await self._label(image, json.loads(tags)) for image, tags in rows]

    async def _label(self, image: str, tags: list[str]) -> tuple[str, str]:
        try:
            decoded = decode(read_image_bytes(self._folder / image), *self._bounds)
            result = await self._pipeline.detect(decoded, tags, self._options)
            return result.model_dump_json(), ""
        except OSError as error:
            failure = unreadable(image, error)
            return "", json.dumps([failure.code, failure.message])
        except ServiceError as error:
            return "", json.dumps([error.code, error.detail])
        except Exception as error:
            # As over HTTP: an image that cannot be labelled for a reason of ours costs the others nothing.
            logger.exception("internal error: %s", image)
            return "", json.dumps([InternalError.code, f"the fault is in weaksam, not in the image: {error!r}"])


def label_with_ray(
    job: LabelJob, settings: Settings, plan: RayPlan, on_done: OnDone, on_resume: OnResume = lambda *_: None
) -> LabelSummary:
    """Label every tagged image that has no result yet. Outputs, calls and resuming are those of `label_folder`.

    Raises:
        UserError: `job.max_side` is set. Images are shrunk only to be sent, and here none is.
        BundleError: the bundle cannot be used.
        JournalError: `job.out` holds a run of another bundle, with other options, or one in progress.
    """
    if job.max_side is not None:
        raise UserError(f"max_side: is {job.max_side}, and images are shrunk only to be sent: leave it out")
    bundle = configured_bundle(settings)
    info = BundleInfo.model_validate(bundle)
    identity = job.identity(info, bundle.labels.names)
    with writing_into(job.out), open_journal(job.out / JOURNAL, identity) as journal:
        todo, finished, failures = _plan(job, journal)
        resumed = len(finished)
        if resumed:
            on_resume(resumed, len(job.worklist.tags) - resumed)
        for outcome in (*[None] * resumed, *failures):
            on_done(outcome)
        for image, result, failure in _run(job, settings, plan, todo):
            if failure:
                failures.append(Failure(image, *json.loads(failure)))
                on_done(failures[-1])
                continue
            journal.add(image, todo[image], DetectResult.model_validate_json(result))
            finished.add(image)
            on_done(None)
        return finish(job, identity, journal, finished, resumed, (*job.worklist.failures, *failures))


def _plan(job: LabelJob, journal: Journal) -> tuple[dict[str, Stamp], set[str], list[Failure]]:
    """Return the images to label, those that earlier runs have labelled, and those that cannot be read."""
    todo, finished, failures = dict[str, Stamp](), set[str](), list[Failure]()
    for image, tags in job.worklist.tags.items():
        try:
            stamp = stamp_of(job.folder / image, tags)
        except OSError as error:
            failures.append(unreadable(image, error))
            continue
        if journal.holds(image, stamp):
            finished.add(image)
        else:
            todo[image] = stamp
    return todo, finished, failures


def _run(job: LabelJob, settings: Settings, plan: RayPlan, todo: Iterable[str]) -> Iterator[tuple[str, str, str]]:
    """Yield image, result and failure, as they come; result or failure is empty."""
    items = [{"image": image, "tags": json.dumps(job.worklist.tags[image])} for image in todo]
    if not items:
        return
    options = DetectOptions(**request_options(job.options))
    blocks = max(1, min(len(items) // plan.batch_size, 64 * plan.workers))
    labelled = ray.data.from_items(items, override_num_blocks=blocks).map_batches(
        LabelWorker,
        fn_constructor_args=(settings, job.folder.resolve(), options),
        batch_size=plan.batch_size,
        batch_format="numpy",
        compute=ray.data.ActorPoolStrategy(size=plan.workers),
        num_cpus=plan.cpus_per_worker,
        num_gpus=plan.gpus_per_worker,
    )
    for row in labelled.iter_rows():
        yield row["image"], row["result"], row["failure"]
