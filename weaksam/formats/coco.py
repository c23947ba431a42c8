"""COCO data sets: the one place that builds their rows and writes their files."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any, TextIO

from pycocotools import mask as coco_mask

from weaksam.files.atomic import replacing
from weaksam.mask_schemas import Rle
from weaksam.schemas import Box

Row = dict[str, Any]
DATASET, RESULTS = "dataset.json", "results.json"  # of a labelling run, and of its conversions
REVIEWED = "annotations/instances_train.json"  # of a review
RESULT_FIELDS = ("image_id", "category_id", "bbox", "score", "segmentation")


def category_rows(names: Sequence[str], ids: Sequence[int] | None = None) -> list[Row]:
    """Return the categories; their ids count from 1 unless given."""
    numbers = range(1, len(names) + 1) if ids is None else ids
    return [{"id": id_, "name": name, "supercategory": ""} for id_, name in zip(numbers, names, strict=True)]


def image_row(image_id: int, file_name: str, size_hw: tuple[int, int], **more: Any) -> Row:
    """Return an image; `more` are members beyond COCO."""
    height, width = size_hw
    return {"id": image_id, "width": width, "height": height, "file_name": file_name, **more}


def annotation_row(
    image_id: int,
    category_id: int,
    box_xyxy: Box,
    rle: Rle | None = None,
    **more: Any,
) -> Row:
    """Return an annotation without its id.

    Args:
        box_xyxy: half-open, in pixels of the image.
        rle: compressed run lengths of the mask. The area is that of the mask, or of the box without one.
        more: members beyond COCO, such as `score`.
    """
    x0, y0, x1, y1 = box_xyxy
    row: Row = {"image_id": image_id, "category_id": category_id, "bbox": [x0, y0, x1 - x0, y1 - y0], "iscrowd": 0}
    if rle is None:
        return row | {"area": (x1 - x0) * (y1 - y0)} | more
    return row | {"area": int(coco_mask.area(rle)), "segmentation": dict(rle)} | more


def result_row(annotation: Row) -> Row:
    """Return what `COCO.loadRes` takes of an annotation."""
    return {field: annotation[field] for field in RESULT_FIELDS if field in annotation}


class RowArray:
    """A JSON array in a file that grows by rows, one a line."""

    def __init__(self, file: TextIO) -> None:
        self._file = file
        self.count = 0

    def add(self, row: Row) -> None:
        """Write the next row."""
        self._file.write(f"{',' if self.count else '['}\n{json.dumps(row, separators=(',', ':'))}")
        self.count += 1

    def end(self) -> None:
        """Close the array."""
        self._file.write("\n]" if self.count else "[]")


@dataclass(frozen=True)
class DatasetFile:
    """A data set that is being written: images and annotations in any order."""

    images: RowArray
    annotations: RowArray

    def add_annotation(self, row: Row) -> None:
        """Write an annotation; ids count from 1."""
        self.annotations.add({"id": self.annotations.count + 1, **row})


@contextmanager
def array_file(path: Path) -> Iterator[RowArray]:
    """Open a file of one array; it takes the place of `path` when the block ends well."""
    with replacing(path) as file:
        array = RowArray(file)
        yield array
        array.end()


@contextmanager
def dataset_file(path: Path, info: Mapping[str, Any], categories: Sequence[Row]) -> Iterator[DatasetFile]:
    """Open a data set that need not fit into memory; it takes the place of `path` when the block ends well."""
    with replacing(path) as file, TemporaryFile("w+", encoding="utf-8", newline="", dir=path.parent) as spool:
        file.write(f'{{"info":{json.dumps(info)},"licenses":[],"categories":{json.dumps(categories)},"images":')
        document = DatasetFile(RowArray(file), RowArray(spool))
        yield document
        document.images.end()
        document.annotations.end()
        spool.seek(0)
        file.write(',"annotations":')
        shutil.copyfileobj(spool, file)
        file.write("}\n")


def write_dataset(
    path: Path, info: Mapping[str, Any], categories: Sequence[Row], images: Iterable[Row], annotations: Iterable[Row]
) -> None:
    """Write a data set, row by row, so that iterators need not fit into memory. Annotations are numbered from 1."""
    with dataset_file(path, info, categories) as document:
        for row in images:
            document.images.add(row)
        for row in annotations:
            document.add_annotation(row)
