"""The files that a labelling run ends with, whichever way its results came."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from weaksam.labelling.coco_files import CocoSource, write_coco_dataset, write_coco_results
from weaksam.labelling.report import write_failures, write_ledger
from weaksam.labelling.worklist import Failure
from weaksam.schemas import BundleInfo, DetectResult

JOURNAL = "journal.jsonl"
DATASET, RESULTS, LEDGER, FAILURES = "dataset.json", "results.json", "ledger.csv", "failures.csv"


@dataclass(frozen=True)
class Outcome:
    """What there is to write.

    Attributes:
        images: all images of the folder, sorted; ids count them from 1, so that an image keeps its id when a failed
            one is labelled later, and in every shard.
        finished: those that have a result.
        failures: images without a result.
        result: reads the result of a finished image.
    """

    labels: Sequence[str]
    bundle: BundleInfo
    images: Iterable[str]
    finished: frozenset[str]
    failures: Sequence[Failure]
    result: Callable[[str], DetectResult]


def write_files(outcome: Outcome, out: Path) -> int:
    """Write the COCO files, the failures and the ledger into `out`; return the number of detections."""
    image_ids = {image: id_ for id_, image in enumerate(outcome.images, start=1) if image in outcome.finished}
    source = CocoSource(outcome.labels, outcome.bundle, image_ids, outcome.result)
    write_coco_dataset(source, out / DATASET)
    write_failures(outcome.failures, out / FAILURES)
    write_ledger(((image, outcome.result(image)) for image in image_ids), out / LEDGER)
    return write_coco_results(source, out / RESULTS)
