"""Pseudo ground truth as a COCO data set: annotations/instances_train.json beside images/."""

from __future__ import annotations

import filecmp
import json
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, Literal

from pycocotools import mask as coco_mask

from models.labels import LabelSet, fold_label
from training.data.tagged import TaggedImage
from training.pseudo_labels.masks import PseudoMask
from weaksam.files.atomic import write_text

Json = dict[str, Any]
# Edges are rounded to a power of two: x + width is then exactly the right edge, also where that is the picture's.
EDGE_STEPS_PER_PX = 16
PGT_JSON = "annotations/instances_train.json"


@dataclass(frozen=True)
class PseudoObject:
    """A pseudo label: class index of the data set, box in image pixels, the detector's score, a mask where drawn."""

    label: int
    box_xyxy: tuple[float, float, float, float]
    score: float
    mask: PseudoMask | None = None


@dataclass(frozen=True)
class LabelledPicture:
    image: TaggedImage
    objects: tuple[PseudoObject, ...]


def write_pgt_dataset(
    pictures: Sequence[LabelledPicture],
    labels: LabelSet,
    ids: Sequence[int],
    out_dir: Path,
    place: Literal["link", "copy"],
) -> Path:
    """Write the data set and return the path of its JSON file, which comes last: where it is, the rest is complete.

    Each label has the category id at its place in ``ids``.

    `pycocotools` loads it, and so does `training.data.coco`. Beyond COCO, images have their ``tags`` and annotations a
    ``score``, and a ``mask_score`` where they have a mask. Annotations without a mask have no ``segmentation``.
    """
    (out_dir / "images").mkdir(parents=True, exist_ok=True)
    (out_dir / "annotations").mkdir(exist_ok=True)
    names = _file_names([picture.image for picture in pictures])
    for picture, name in zip(pictures, names, strict=True):
        _place(picture.image.path.resolve(), out_dir / "images" / name, place)
    document = {
        "info": {"description": "pseudo ground truth from image tags"},
        "licenses": [],
        "images": [
            _image_row(number, picture.image, name)
            for number, (picture, name) in enumerate(zip(pictures, names, strict=True), 1)
        ],
        "categories": [{"id": i, "name": name, "supercategory": ""} for i, name in zip(ids, labels.names, strict=True)],
        "annotations": _annotations(pictures, ids),
    }
    path = out_dir / PGT_JSON
    write_text(path, json.dumps(document) + "\n")
    return path


def category_ids(labels: LabelSet, coco_json: Path | None) -> list[int]:
    """A category id for each label: those that a COCO file has for it, or 1 to C without a file.

    Raises:
        ValueError: a file that cannot be read, or that lacks a label.
    """
    if coco_json is None:
        return list(range(1, len(labels) + 1))
    try:
        rows = json.loads(coco_json.read_bytes())["categories"]
        ids = {fold_label(row["name"]): int(row["id"]) for row in rows}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ValueError(f"categories: {coco_json} has no COCO categories ({error})") from error
    missing = [name for name in labels.names if fold_label(name) not in ids]
    if missing:
        raise ValueError(
            f"categories: {coco_json} has none for {', '.join(missing)}: give the file of the same classes"
        )
    return [ids[fold_label(name)] for name in labels.names]


def _file_names(images: Sequence[TaggedImage]) -> list[str]:
    """Each picture's id with its suffix; ids that several data sets have in common are numbered from the second on."""
    taken: set[str] = set()
    names = []
    for image in images:
        stem = "/".join(part for part in PurePosixPath(image.id).parts if part not in ("/", ".."))
        name, count = f"{stem}{image.path.suffix}", 1
        while name in taken:
            count += 1
            name = f"{stem}~{count}{image.path.suffix}"
        taken.add(name)
        names.append(name)
    return names


def _place(source: Path, target: Path, place: Literal["link", "copy"]) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    if target.is_symlink():
        target.unlink()
    if target.exists():
        if not filecmp.cmp(source, target, shallow=False):
            raise ValueError(f"out: {target} is there already and is another picture than {source}: give a new folder")
    elif place == "link":
        target.symlink_to(source)
    else:
        shutil.copyfile(source, target)


def _image_row(number: int, image: TaggedImage, file_name: str) -> Json:
    height, width = image.size_hw
    return {"id": number, "file_name": file_name, "height": height, "width": width, "tags": list(image.tags)}


def _annotations(pictures: Sequence[LabelledPicture], ids: Sequence[int]) -> list[Json]:
    owned = [(number, thing) for number, picture in enumerate(pictures, 1) for thing in picture.objects]
    return [
        {"id": identity, "image_id": number, "category_id": ids[thing.label]} | _object_row(thing)
        for identity, (number, thing) in enumerate(owned, 1)
    ]


def _object_row(thing: PseudoObject) -> Json:
    x0, y0, x1, y1 = (round(float(edge) * EDGE_STEPS_PER_PX) / EDGE_STEPS_PER_PX for edge in thing.box_xyxy)
    row: Json = {
        "bbox": [x0, y0, x1 - x0, y1 - y0],
        "area": (x1 - x0) * (y1 - y0),
        "iscrowd": 0,
        "score": round(thing.score, 6),
    }
    if thing.mask is None:
        return row
    area = int(coco_mask.area(thing.mask.rle))
    return row | {"area": area, "segmentation": dict(thing.mask.rle), "mask_score": thing.mask.predicted_iou}
