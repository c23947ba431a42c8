"""COCO files of a labelling run: the results (what `COCO.loadRes` takes) and a data set to train on or to review."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO

from pycocotools import mask as coco_mask

from weaksam.files.atomic import replacing
from weaksam.schemas import BundleInfo, Detection, DetectResult, RleMask

RESULT_FIELDS = ("image_id", "category_id", "bbox", "score", "segmentation")


@dataclass(frozen=True)
class CocoSource:
    """What the files are written from.

    Attributes:
        labels: the bundle's labels in its order; category ids count them from 1.
        bundle: the bundle that found them, written into `info`.
        image_ids: id of each finished picture by its path, in the order of the files.
        answer: the service's answer for a picture of `image_ids`, read anew each time: a folder's masks need not fit
            into memory.
    """

    labels: Sequence[str]
    bundle: BundleInfo
    image_ids: Mapping[str, int]
    answer: Callable[[str], DetectResult]


def write_results(source: CocoSource, path: Path) -> int:
    """Write an array with one object for each detection: image and category id, box x,y,w,h in px, score, RLE mask.

    Returns the number of detections.
    """
    rows = ({field: row[field] for field in RESULT_FIELDS} for row in _annotations(source))
    with replacing(path) as file:
        return _write_array(file, rows)


def write_dataset(source: CocoSource, path: Path) -> None:
    """Write images, categories and annotations (`iscrowd` 0, area in mask pixels, RLE mask, score kept for review)."""
    info = {"description": "Labelled by weaksam from image-level tags", "bundle": source.bundle.model_dump()}
    categories = [{"id": id_, "name": name, "supercategory": ""} for id_, name in enumerate(source.labels, start=1)]
    with replacing(path) as file:
        file.write(f'{{"info":{json.dumps(info)},"licenses":[],"categories":{json.dumps(categories)},"images":')
        _write_array(file, _images(source))
        file.write(',"annotations":')
        _write_array(file, ({"id": id_, **row} for id_, row in enumerate(_annotations(source), start=1)))
        file.write("}\n")


def _images(source: CocoSource) -> Iterator[dict[str, Any]]:
    for path, image_id in source.image_ids.items():
        image = source.answer(path).image
        yield {"id": image_id, "width": image.width, "height": image.height, "file_name": path}


def _annotations(source: CocoSource) -> Iterator[dict[str, Any]]:
    category_ids = {name: id_ for id_, name in enumerate(source.labels, start=1)}
    for path, image_id in source.image_ids.items():
        for detection in source.answer(path).detections:
            yield _annotation(detection, image_id, category_ids[detection.label])


def _annotation(detection: Detection, image_id: int, category_id: int) -> dict[str, Any]:
    assert isinstance(detection.mask, RleMask), "the run asks for mask_format=rle"
    left, top, right, bottom = detection.box_xyxy
    mask = detection.mask.model_dump(mode="json")
    return {
        "image_id": image_id,
        "category_id": category_id,
        "bbox": [left, top, right - left, bottom - top],
        "area": int(coco_mask.area(mask)),
        "segmentation": mask,
        "iscrowd": 0,
        "score": detection.score,
    }


def _write_array(file: TextIO, rows: Iterable[Mapping[str, Any]]) -> int:
    count = 0
    for row in rows:
        file.write(f"{',' if count else '['}\n{json.dumps(row, separators=(',', ':'))}")
        count += 1
    file.write("\n]" if count else "[]")
    return count
