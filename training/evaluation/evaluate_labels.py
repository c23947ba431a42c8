"""Labels on disk, found or reviewed, against the true objects of the same images."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from training.data.open_dataset import open_dataset
from training.data.tagged import TaggedImage, with_known_objects
from training.metrics.predictions import HitTally, Predictions
from training.metrics.scorecard import PrecisionTally, all_have_masks, box_overlaps, mask_overlaps
from weaksam.errors import UserError
from weaksam.files.file_names import match_names
from weaksam.formats.labelled import LabelledImage, read_final
from weaksam.tag_texts import fold_label

Report = dict[str, Any]


def evaluate_labels(labelled_dir: Path, data_dir: Path, split: str, reviewed: Path | None = None) -> Report:
    """Return how many labels are right and how many true objects have one, by class and over all.

    An image is measured if it has labels on disk and true objects that are known. Objects that a person drew count
    with a score of 1. Figures of masks are there only if every true object of an image has one.

    Args:
        labelled_dir: what `weaksam label` or `weaksam review` wrote.
        data_dir: data set with boxes, in any layout that `open_dataset` reads.
        split: `train`, `val`, `fit` or `test`.
        reviewed: a review of the run, see `read_final`.

    Raises:
        UserError: one of them cannot be used, or they have no image with true objects in common.
    """
    labelled, dataset = read_final(labelled_dir, reviewed), open_dataset(data_dir, split)
    pairs = _pairs(labelled.images, with_known_objects(dataset.images))
    if not any(truth.objects for _, truth in pairs):
        raise UserError(
            f"{labelled_dir} and {data_dir}, split {split!r}, have no image with true objects in common: "
            "name the true boxes of the images that were labelled"
        )
    names = {fold_label(name): name for name in labelled.labels}
    hits, boxes, masks = HitTally(), PrecisionTally(box_overlaps), PrecisionTally(mask_overlaps)
    for image, tagged in pairs:
        truth = [replace(thing, label=names.get(fold_label(thing.label), thing.label)) for thing in tagged.objects]
        found = _found(image)
        hits.add(found, truth)
        boxes.add(found, truth)
        if found.masks is not None and all_have_masks(truth):
            masks.add(found, truth)
    return {
        "data": dataset.name,
        "split": split,
        "images": len(pairs),
        "images_without_truth": len(labelled.images) - len(pairs),
        "objects": sum(not thing.difficult for _, tagged in pairs for thing in tagged.objects),
        "labels": sum(len(image.objects) for image, _ in pairs),
        "precision": hits.precision(),
        "recall": hits.recall(),
        "ap50": _mean(boxes.by_class()),
        "mask_ap50": _mean(masks.by_class()),
        "per_class": _per_class(hits, boxes.by_class(), masks.by_class()),
    }


def _pairs(labelled: Sequence[LabelledImage], truth: Sequence[TaggedImage]) -> list[tuple[LabelledImage, TaggedImage]]:
    """Return the images that are in both, matched by their paths."""
    if not truth:
        return []
    root = os.path.commonpath([image.path.parent for image in truth])
    by_path = {image.path.relative_to(root).as_posix(): image for image in truth}
    path_of = match_names([image.file_name for image in labelled], list(by_path)).path_of
    return [(image, by_path[path_of[image.file_name]]) for image in labelled if image.file_name in path_of]


def _found(image: LabelledImage) -> Predictions:
    things = image.objects
    masks = [thing.rle for thing in things if thing.rle is not None]
    return Predictions(
        tuple(thing.label for thing in things),
        np.array([1.0 if thing.score is None else thing.score for thing in things], np.float32),
        np.array([thing.box_xyxy for thing in things], np.float32).reshape(-1, 4),
        tuple(masks) if len(masks) == len(things) else None,
    )


def _per_class(hits: HitTally, boxes: Mapping[str, float], masks: Mapping[str, float]) -> dict[str, Report]:
    return {
        label: {
            "precision": hits.precision(label),
            "recall": hits.recall(label),
            "ap50": round(ap50, 4),
            **({"mask_ap50": round(masks[label], 4)} if label in masks else {}),
        }
        for label, ap50 in boxes.items()
    }


def _mean(by_class: Mapping[str, float]) -> float | None:
    return round(float(np.mean(list(by_class.values()))), 4) if by_class else None
