"""COCO files of a labelling run: the results (what `COCO.loadRes` takes) and a data set to train on or to review."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from weaksam.errors import UserError
from weaksam.files.image_files import JOURNAL
from weaksam.formats.coco import (
    DatasetFile,
    Row,
    RowArray,
    annotation_row,
    array_file,
    category_rows,
    dataset_file,
    image_row,
    result_row,
)
from weaksam.labelling.doubt import Urgency
from weaksam.labelling.odd_results import label_fault
from weaksam.mask_schemas import RleMask
from weaksam.schemas import BundleInfo, DetectResult


@dataclass(frozen=True)
class CocoFiles:
    """Both files while they are written."""

    dataset: DatasetFile
    results: RowArray
    category_ids: dict[str, int]

    def add(self, path: str, image_id: int, result: DetectResult, review: Urgency) -> None:
        """Write one image with its detections, in both files.

        Raises:
            UserError: an object is of no label of the run: an earlier release stored whatever came.
        """
        fault = label_fault(result, self.category_ids)
        if fault is not None:
            remedy = f"remove its line from {JOURNAL}, so that it is sent again"
            raise UserError(f"the stored result of {path} has an object of no label, {fault}: {remedy}")
        self.dataset.images.add(_image_row(path, image_id, result, review))
        for found in result.detections:
            assert found.mask is None or isinstance(found.mask, RleMask), "the run asks for run lengths or no masks"
            mask = None if found.mask is None else found.mask.rle()
            category_id = self.category_ids[found.label]
            row = annotation_row(image_id, category_id, found.box_xyxy, mask, score=found.score)
            self.dataset.add_annotation(row)
            self.results.add(result_row(row))


def _image_row(path: str, image_id: int, result: DetectResult, review: Urgency) -> Row:
    """Return COCO's image with more members: its digest, the labels of its tags, and how urgent a review is."""
    tags = [row.label for row in result.tags if row.label is not None]
    size_hw = (result.image.height, result.image.width)
    more = {"tags": list(dict.fromkeys(tags)), "review": review.score, "review_reason": review.reason}
    return image_row(image_id, path, size_hw, sha256=result.image.sha256, **more)


@contextmanager
def coco_files(
    labels: Sequence[str], bundle: BundleInfo, options: Mapping[str, Any], dataset: Path, results: Path
) -> Iterator[CocoFiles]:
    """Open both files. The data set has `iscrowd` 0, area in mask pixels, RLE masks, and scores for review.

    Args:
        labels: the bundle's labels in its order; category ids count them from 1.
        bundle: the bundle that found them, written into `info`.
        options: those of the run that change its results, written into `info`.
        dataset: path of the data set.
        results: path of the array with one object for each detection.
    """
    description = "Labelled by weaksam from image-level tags"
    info = {"description": description, "bundle": bundle.model_dump(), "options": dict(options)}
    categories = category_rows(labels)
    with dataset_file(dataset, info, categories) as document, array_file(results) as array:
        yield CocoFiles(document, array, {row["name"]: row["id"] for row in categories})
