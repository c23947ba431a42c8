"""Mask quality of a compact SAM on objects with true masks, by object size and by domain, beside simple baselines."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from models.image import read_image
from models.masks.drawing import mask_box
from models.masks.levels import best_level
from training.data.tagged import TaggedImage
from training.runs.ranks import track_first
from training.sam.answers import AskedImage, AskedSam, open_asked_sam
from training.sam.baselines import filled_box, grabcut_mask
from training.sam.images.photographs import domain_of
from training.sam.prompt_map import innermost_point
from training.sam.prompts import interior_points
from weaksam.arrays import Mask
from weaksam.errors import UserError
from weaksam.files.atomic import write_json
from weaksam.formats.polygons import mask_iou
from weaksam.formats.run_lengths import decode_rle

REPORT_SEED = 11
# COCO's bounds of small, medium and large, in square pixels of the image.
SIZES = {"small": (0, 32**2), "medium": (32**2, 96**2), "large": (96**2, float("inf"))}
# Prompts, of each the mask ranked first and the best of the levels, and the baselines.
MEASURES = ("box", "box_best_level", "point", "point_best_level", "innermost", "innermost_best_level")
BASELINES = ("filled_box", "grabcut")


@dataclass(frozen=True)
class ObjectRow:
    """One object: its image and number there, area in pixels, and the IoU of each measure and baseline by name."""

    image: TaggedImage
    number: int
    area_px: int
    ious: Mapping[str, float]


def report_sam(
    source: Path, images: Sequence[TaggedImage], out: Path, per_image: int | None = None, *, zoom: bool = False
) -> list[ObjectRow]:
    """Write mIoU from boxes and points, by size and by domain, beside the baselines, as JSON; returns the objects.

    Args:
        source: folder of a run, or of a bundle with a compact SAM.
        images: with true masks.
        out: the JSON file.
        per_image: measure at most so many objects of an image, drawn at random; None measures all.
        zoom: look at small objects again, enlarged, see `models.masks.zoom`.

    Raises:
        UserError: no object has a true mask, or there is no compact SAM in ``source``.
    """
    if not any(thing.mask_rle is not None for image in images for thing in image.objects):
        raise UserError(
            f"data: none of the {len(images)} images has an object with a mask: give a data set with true masks, such "
            "as a COCO file with `segmentation`, or another --split"
        )
    sam = open_asked_sam(source, zoom=zoom)
    rows = [row for image in track_first(images, "SAM report") for row in measure_image(sam, image, per_image)]
    write_json(out, summarise(rows))
    return rows


def measure_image(sam: AskedSam, image: TaggedImage, per_image: int | None) -> list[ObjectRow]:
    """Return a row for each object with a mask."""
    rng = np.random.default_rng(REPORT_SEED)
    chosen = _chosen(rng, image, per_image)
    if not chosen:
        return []
    masks = [mask for _, mask in chosen]
    points_xy = np.concatenate([interior_points(rng, mask, 1) for mask in masks])
    pixels = read_image(image.path)
    asked = AskedImage(sam, pixels)
    rows = []
    for (number, mask), point_xy in zip(chosen, points_xy, strict=True):
        box_xyxy = mask_box(mask)
        answers = {
            "box": asked.from_box(box_xyxy),
            "point": asked.from_point(point_xy),
            "innermost": asked.from_point(np.array(innermost_point(mask), np.float32)),
        }
        ious = {"filled_box": mask_iou(filled_box(image.size_hw, box_xyxy), mask)}
        ious["grabcut"] = mask_iou(grabcut_mask(pixels, box_xyxy), mask)
        for name, answer in answers.items():
            ious[name] = mask_iou(best_level(answer).draw(), mask)
            ious[f"{name}_best_level"] = max(mask_iou(level.draw(), mask) for level in answer)
        rows.append(ObjectRow(image, number, int(mask.sum()), ious))
    return rows


def summarise(rows: Sequence[ObjectRow]) -> dict[str, Any]:
    """Return means over objects by size and by domain, and over the domains' means, in which all weigh the same."""
    of_domain: dict[str, list[ObjectRow]] = {}
    for row in rows:
        of_domain.setdefault(domain_of(row.image), []).append(row)
    domains = {name: _means(of_domain[name]) for name in sorted(of_domain)}
    by_size = {name: _means([row for row in rows if low <= row.area_px < high]) for name, (low, high) in SIZES.items()}
    over_domains = {
        f"{name}_miou": round(float(np.mean([of_one[f"{name}_miou"] for of_one in domains.values()])), 4)
        for name in (*MEASURES, *BASELINES)
        if domains
    }
    return {**by_size, "all": _means(rows), "mean_of_domains": over_domains, "domains": domains}


def _chosen(rng: np.random.Generator, image: TaggedImage, per_image: int | None) -> list[tuple[int, Mask]]:
    """Numbers and masks of the objects to measure."""
    known = [(number, thing.mask_rle) for number, thing in enumerate(image.objects) if thing.mask_rle is not None]
    if per_image is not None and len(known) > per_image:
        known = [known[index] for index in np.sort(rng.choice(len(known), per_image, replace=False))]
    return [(number, decode_rle(rle)) for number, rle in known]


def _means(rows: Sequence[ObjectRow]) -> dict[str, float | int | None]:
    means = {
        f"{name}_miou": round(float(np.mean([row.ious[name] for row in rows])), 4) if rows else None
        for name in (*MEASURES, *BASELINES)
    }
    return {"objects": len(rows), **means}
