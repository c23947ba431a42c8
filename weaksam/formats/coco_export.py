"""A labelling run as a COCO data set, with run lengths or polygons, or as COCO results."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from weaksam.formats.coco import (
    DATASET,
    RESULTS,
    Row,
    annotation_row,
    array_file,
    category_rows,
    image_row,
    result_row,
    write_dataset,
)
from weaksam.formats.labelled import LabelledObject, LabelledSet, PolygonMaker

Segmentation = Callable[[LabelledObject], dict[str, Any]]


def write_coco(labelled: LabelledSet, out: Path) -> None:
    """Write `dataset.json` with the masks as run lengths: nothing is lost."""
    _write(labelled, out, lambda _: {})


def write_coco_polygons(labelled: LabelledSet, out: Path, polygons: PolygonMaker) -> None:
    """Write `dataset.json` with the masks as polygons; `area` stays that of the mask, `fidelity_iou` is added."""

    def segmentation(thing: LabelledObject) -> dict[str, Any]:
        rings = [ring.ravel().tolist() for ring in polygons.rings_xy(thing)]
        return {"segmentation": rings, "fidelity_iou": round(polygons.fidelities_iou[-1], 6)} if rings else {}

    _write(labelled, out, segmentation)


def write_coco_results(labelled: LabelledSet, out: Path) -> None:
    """Write `results.json`, what `COCO.loadRes` takes; its ids are those of `dataset.json` in the labelled folder."""
    with array_file(out / RESULTS) as results:
        for row in _annotations(labelled, lambda _: {}):
            results.add(result_row(row))


def _write(labelled: LabelledSet, out: Path, segmentation: Segmentation) -> None:
    images = (
        image_row(image.id, image.file_name, image.size_hw, sha256=image.sha256, tags=list(image.tags))
        for image in labelled.images
    )
    categories = category_rows(labelled.labels)
    write_dataset(out / DATASET, labelled.info, categories, images, _annotations(labelled, segmentation))


def _annotations(labelled: LabelledSet, segmentation: Segmentation) -> Iterator[Row]:
    category_ids = {name: id_ for id_, name in enumerate(labelled.labels, start=1)}
    for image in labelled.images:
        for thing in image.objects:
            score = {} if thing.score is None else {"score": thing.score}
            row = annotation_row(image.id, category_ids[thing.label], thing.box_xyxy, thing.rle, **score)
            yield row | segmentation(thing)
