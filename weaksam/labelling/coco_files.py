"""COCO files of a labelling run: the results (what `COCO.loadRes` takes) and a data set to train on or to review."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from weaksam.files.atomic import replacing
from weaksam.formats.coco import Row, annotation_row, category_rows, image_row, write_dataset, write_rows
from weaksam.schemas import BundleInfo, DetectResult, RleMask

RESULT_FIELDS = ("image_id", "category_id", "bbox", "score", "segmentation")


@dataclass(frozen=True)
class CocoSource:
    """What the files are written from.

    Attributes:
        labels: the bundle's labels in its order; category ids count them from 1.
        bundle: the bundle that found them, written into `info`.
        image_ids: id of each finished image by its path, in the order of the files.
        result: reads the result for an image of `image_ids`, anew each time: a folder's masks may exceed memory.
    """

    labels: Sequence[str]
    bundle: BundleInfo
    image_ids: Mapping[str, int]
    result: Callable[[str], DetectResult]


def write_coco_results(source: CocoSource, path: Path) -> int:
    """Write an array with one object for each detection: image and category id, box x,y,w,h in px, score, RLE mask.

    Returns the number of detections.
    """
    with replacing(path) as file:
        return write_rows(({field: row[field] for field in RESULT_FIELDS} for row in _annotations(source)), file)


def write_coco_dataset(source: CocoSource, path: Path) -> None:
    """Write images, categories and annotations (`iscrowd` 0, area in mask pixels, RLE mask, score kept for review)."""
    info = {"description": "Labelled by weaksam from image-level tags", "bundle": source.bundle.model_dump()}
    write_dataset(path, info, category_rows(source.labels), _images(source), _annotations(source))


def _images(source: CocoSource) -> Iterator[Row]:
    for path, image_id in source.image_ids.items():
        image = source.result(path).image
        yield image_row(image_id, path, (image.height, image.width))


def _annotations(source: CocoSource) -> Iterator[Row]:
    category_ids = {name: id_ for id_, name in enumerate(source.labels, start=1)}
    for path, image_id in source.image_ids.items():
        for row in source.result(path).detections:
            assert isinstance(row.mask, RleMask), "the run asks for mask_format=rle"
            mask = row.mask.model_dump(mode="json")
            yield annotation_row(image_id, category_ids[row.label], row.box_xyxy, mask, score=row.score)
