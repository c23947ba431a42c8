"""The files that a labelling run ends with, whichever way its results came."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from weaksam.formats.coco import DATASET, RESULTS
from weaksam.labelling.coco_files import coco_files
from weaksam.labelling.contact_sheet import ContactSheet
from weaksam.labelling.doubt import review_result
from weaksam.labelling.report import ledger_file, write_failures
from weaksam.labelling.worklist import Failure
from weaksam.schemas import BundleInfo, DetectResult

LEDGER, FAILURES, CONTACT_SHEET = "ledger.csv", "failures.csv", "contact_sheet.html"
FILES = (CONTACT_SHEET, RESULTS, DATASET, LEDGER, FAILURES)


@dataclass(frozen=True)
class Outcome:
    """What there is to write.

    Attributes:
        images: all images of the folder, sorted; ids count them from 1, so that an image keeps its id when a failed
            one is labelled later, and in every shard.
        options: those of the run that change its results.
        finished: those that have a result.
        failures: images without a result.
        result: reads the result of a finished image.
        folder: of the images, for the thumbnails of the contact sheet; None leaves them out.
        server: address of the service, for the contact sheet; None if it is not known.
    """

    labels: Sequence[str]
    bundle: BundleInfo
    options: Mapping[str, Any]
    images: Iterable[str]
    finished: frozenset[str]
    failures: Sequence[Failure]
    result: Callable[[str], DetectResult]
    folder: Path | None = None
    server: str | None = None


def write_files(outcome: Outcome, out: Path) -> int:
    """Write COCO files, failures, ledger and contact sheet into `out`; return the number of detections.

    Each result is read, parsed and judged once.
    """
    image_ids = {image: id_ for id_, image in enumerate(outcome.images, start=1) if image in outcome.finished}
    write_failures(outcome.failures, out / FAILURES)
    sheet = ContactSheet(outcome.folder, outcome.server)
    with (
        coco_files(outcome.labels, outcome.bundle, outcome.options, out / DATASET, out / RESULTS) as coco,
        ledger_file(out / LEDGER) as add_to_ledger,
    ):
        for image, image_id in image_ids.items():
            result = outcome.result(image)
            review = review_result(result)
            coco.add(image, image_id, result, review)
            add_to_ledger(image, result, review)
            sheet.add(image, result, review)
    sheet.write(outcome.failures, out / CONTACT_SHEET)
    return coco.results.count
