"""Pseudo ground truth as a COCO data set: annotations/instances_train.json beside images/."""

from __future__ import annotations

import filecmp
import json
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Literal

from models.labels import LabelSet
from training.data.tagged import TaggedImage
from training.pseudo_labels.masks import PseudoMask
from weaksam.errors import UserError
from weaksam.formats.coco import Row, annotation_row, category_rows, image_row, write_dataset
from weaksam.schemas import Box
from weaksam.tag_texts import fold_label

# Edges are rounded to a power of two: x + width is then exactly the right edge, also where that is the image's.
EDGE_STEPS_PER_PX = 16
ANNOTATIONS_JSON = "annotations/instances_train.json"


@dataclass(frozen=True)
class PseudoObject:
    """A pseudo label: class index of the data set, box in image pixels, the detector's score, perhaps a mask."""

    label: int
    box_xyxy: Box
    score: float
    mask: PseudoMask | None = None


@dataclass(frozen=True)
class PseudoLabelledImage:
    """A tagged image, and the objects that the served models found in it."""

    image: TaggedImage
    objects: tuple[PseudoObject, ...]


def write_pseudo_dataset(
    labelled_images: Sequence[PseudoLabelledImage],
    labels: LabelSet,
    ids: Sequence[int],
    out_dir: Path,
    place: Literal["link", "copy"],
) -> Path:
    """Write the data set and return its JSON file, which is written last: if it is there, the rest is complete.

    `pycocotools` loads it, and so does `training.data.formats.coco`. Beyond COCO, images have their ``tags``,
    annotations have a ``score``, and a ``mask_score`` if they have a mask. Annotations without a mask have no
    ``segmentation``.

    Args:
        labelled_images: images with their pseudo labels.
        labels: classes, in the order of the categories.
        ids: category id of each label.
        out_dir: folder of the data set.
        place: ``link`` or ``copy`` the image files.
    """
    (out_dir / "images").mkdir(parents=True, exist_ok=True)
    (out_dir / "annotations").mkdir(exist_ok=True)
    names = _file_names([labelled.image for labelled in labelled_images])
    for labelled, name in zip(labelled_images, names, strict=True):
        _place(labelled.image.path.resolve(), out_dir / "images" / name, place)
    numbered = list(enumerate(zip(labelled_images, names, strict=True), 1))
    path = out_dir / ANNOTATIONS_JSON
    write_dataset(
        path,
        {"description": "pseudo ground truth from image tags"},
        category_rows(labels.names, ids),
        (image_row(id_, name, one.image.size_hw, tags=list(one.image.tags)) for id_, (one, name) in numbered),
        (_annotation(id_, ids, thing) for id_, (one, _) in numbered for thing in one.objects),
    )
    return path


def category_ids(labels: LabelSet, coco_json: Path | None) -> list[int]:
    """Return a category id for each label: those of a COCO file, or 1 to C without a file.

    Raises:
        UserError: the file cannot be read, or lacks a label.
    """
    if coco_json is None:
        return list(range(1, len(labels) + 1))
    try:
        rows = json.loads(coco_json.read_bytes())["categories"]
        ids = {fold_label(row["name"]): int(row["id"]) for row in rows}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(f"categories: {coco_json} has no COCO categories ({error})") from error
    missing = [name for name in labels.names if fold_label(name) not in ids]
    if missing:
        raise UserError(f"categories: {coco_json} has none for {', '.join(missing)}: give the file of the same classes")
    return [ids[fold_label(name)] for name in labels.names]


def _file_names(images: Sequence[TaggedImage]) -> list[str]:
    """Return each image's id with its suffix; ids that several data sets share are numbered from the second on."""
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
            raise UserError(f"out: {target} is there already and is another image than {source}: give a new folder")
    elif place == "link":
        target.symlink_to(source)
    else:
        shutil.copyfile(source, target)


def _annotation(image_id: int, ids: Sequence[int], thing: PseudoObject) -> Row:
    x0, y0, x1, y1 = (round(float(edge) * EDGE_STEPS_PER_PX) / EDGE_STEPS_PER_PX for edge in thing.box_xyxy)
    mask = thing.mask
    more = {"score": round(thing.score, 6)} | ({} if mask is None else {"mask_score": mask.predicted_iou})
    rle = None if mask is None else mask.rle
    return annotation_row(image_id, ids[thing.label], (x0, y0, x1, y1), rle, **more)
