"""COCO data sets: the one place that builds their rows and writes their files."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, TextIO

from pycocotools import mask as coco_mask

from weaksam.files.atomic import replacing

Row = dict[str, Any]


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
    box_xyxy: tuple[float, float, float, float],
    rle: Mapping[str, Any] | None = None,
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
    return row | {"area": int(coco_mask.area(dict(rle))), "segmentation": dict(rle)} | more


def write_dataset(
    path: Path, info: Mapping[str, Any], categories: Sequence[Row], images: Iterable[Row], annotations: Iterable[Row]
) -> None:
    """Write a data set, row by row, so that iterators need not fit into memory. Annotations are numbered from 1."""
    with replacing(path) as file:
        file.write(f'{{"info":{json.dumps(info)},"licenses":[],"categories":{json.dumps(categories)},"images":')
        write_rows(images, file)
        file.write(',"annotations":')
        write_rows(({"id": id_, **row} for id_, row in enumerate(annotations, start=1)), file)
        file.write("}\n")


def write_rows(rows: Iterable[Row], file: TextIO) -> int:
    """Write a JSON array, one row a line, and return the number of rows."""
    count = 0
    for row in rows:
        file.write(f"{',' if count else '['}\n{json.dumps(row, separators=(',', ':'))}")
        count += 1
    file.write("\n]" if count else "[]")
    return count
