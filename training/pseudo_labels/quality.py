"""Quality of pseudo ground truth where true boxes are known. Only reports use it, training never does."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from models.labels import LabelSet
from training.metrics.hits import HIT_IOU, count_hits
from training.pseudo_labels.dataset import PseudoLabelledImage

TIGHT_IOU = 0.75


def report_quality(labelled_images: Sequence[PseudoLabelledImage], labels: LabelSet) -> dict[str, Any]:
    """Return numbers of pseudo boxes and, if images have true boxes, how well the two agree.

    A pseudo box hits the true object of its class that it overlaps most, from IoU 0.5 on. Each object counts once,
    difficult ones not at all. ``precision`` is the share of pseudo boxes that hit, ``recall`` the share of true objects
    that are hit, overall and in ``per_class``. ``tight_precision`` and ``tight_recall`` ask for IoU 0.75. All look only
    at images that have true boxes.
    """
    tags = sum(len(labelled.image.tags) for labelled in labelled_images)
    boxes = sum(len(labelled.objects) for labelled in labelled_images)
    tags_with_box = sum(len({thing.label for thing in labelled.objects}) for labelled in labelled_images)
    report: dict[str, Any] = {
        "images": len(labelled_images),
        "instances": boxes,
        "instances_per_image": round(boxes / max(1, len(labelled_images)), 4),
        "tags_without_box": tags - tags_with_box,
    }
    known = [labelled for labelled in labelled_images if labelled.image.objects]
    return report | (_agreement(known, labels) if known else {})


def _agreement(labelled_images: Sequence[PseudoLabelledImage], labels: LabelSet) -> dict[str, Any]:
    counts = count_hits_by_class(labelled_images, labels)  # [C,3]
    tight = _shares(*count_hits_by_class(labelled_images, labels, TIGHT_IOU).sum(axis=0).tolist())
    return {
        "images_with_true_boxes": len(labelled_images),
        **_shares(*counts.sum(axis=0).tolist()),
        "tight_precision": tight["precision"],
        "tight_recall": tight["recall"],
        "true_objects_per_image": round(float(counts[:, 2].sum()) / len(labelled_images), 4),
        "per_class": {
            name: _shares(*row.tolist()) for name, row in zip(labels.names, counts, strict=True) if row.any()
        },
    }


def count_hits_by_class(
    labelled_images: Sequence[PseudoLabelledImage], labels: LabelSet, min_iou: float = HIT_IOU
) -> npt.NDArray[np.int64]:
    """Return [C,3] by class: pseudo boxes that hit, those that count, and true objects that are not difficult."""
    counts = np.zeros((len(labels), 3), np.int64)
    for labelled in labelled_images:
        true_labels = [labels.index(true.label) for true in labelled.image.objects]
        for label in {thing.label for thing in labelled.objects} | {
            index for index in true_labels if index is not None
        }:
            counts[label] += _count_class(labelled, label, true_labels, min_iou)
    return counts


def _count_class(
    labelled: PseudoLabelledImage, label: int, true_labels: Sequence[int | None], min_iou: float
) -> tuple[int, int, int]:
    pseudo = [thing for thing in labelled.objects if thing.label == label]
    true = [thing for thing, index in zip(labelled.image.objects, true_labels, strict=True) if index == label]
    boxes_xyxy = np.array([thing.box_xyxy for thing in pseudo], np.float32).reshape(-1, 4)
    scores = np.array([thing.score for thing in pseudo], np.float32)
    hits, misses, objects = count_hits(boxes_xyxy, scores, true, min_iou)
    return hits, hits + misses, objects


def _shares(hits: int, counted: int, objects: int) -> dict[str, float | int | None]:
    return {
        "precision": round(hits / counted, 4) if counted else None,
        "recall": round(hits / objects, 4) if objects else None,
        "hits": hits,
        "pseudo_boxes": counted,
        "true_objects": objects,
    }
