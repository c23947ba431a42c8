"""How good pseudo ground truth is, where true boxes are known: for reports alone, training never sees it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from models.boxes import pairwise_iou
from models.labels import LabelSet
from training.metrics.average_precision import HIT, HIT_IOU, MISS, judge_detections
from training.pseudo_labels.dataset import LabelledPicture


def report_pgt(pictures: Sequence[LabelledPicture], labels: LabelSet) -> dict[str, Any]:
    """Numbers of pseudo boxes, and where pictures have true ones, how well the two agree.

    A pseudo box hits the true object of its class that it overlaps most, from IoU 0.5 on; each object counts once and
    difficult ones not at all. ``precision`` is the share of pseudo boxes that hit, ``recall`` the share of true
    objects that are hit, overall and in ``per_class``; both look only at pictures that have true boxes.
    """
    tags = sum(len(picture.image.tags) for picture in pictures)
    boxes = sum(len(picture.objects) for picture in pictures)
    labelled = sum(len({thing.label for thing in picture.objects}) for picture in pictures)
    report: dict[str, Any] = {
        "pictures": len(pictures),
        "instances": boxes,
        "instances_per_picture": round(boxes / max(1, len(pictures)), 4),
        "tags_without_box": tags - labelled,
    }
    known = [picture for picture in pictures if picture.image.objects]
    return report | (_agreement(known, labels) if known else {})


def _agreement(pictures: Sequence[LabelledPicture], labels: LabelSet) -> dict[str, Any]:
    counts = count_hits(pictures, labels)  # [C,3]
    return {
        "pictures_with_true_boxes": len(pictures),
        **_shares(*counts.sum(axis=0).tolist()),
        "true_objects_per_picture": round(float(counts[:, 2].sum()) / len(pictures), 4),
        "per_class": {
            name: _shares(*row.tolist()) for name, row in zip(labels.names, counts, strict=True) if row.any()
        },
    }


def count_hits(pictures: Sequence[LabelledPicture], labels: LabelSet) -> npt.NDArray[np.int64]:
    """Per class [C,3]: pseudo boxes that hit, those that count, and true objects that are not difficult."""
    counts = np.zeros((len(labels), 3), np.int64)
    for picture in pictures:
        true_labels = [labels.index(true.label) for true in picture.image.objects]
        for label in {thing.label for thing in picture.objects} | {index for index in true_labels if index is not None}:
            counts[label] += _count_class(picture, label, true_labels)
    return counts


def _count_class(picture: LabelledPicture, label: int, true_labels: Sequence[int | None]) -> tuple[int, int, int]:
    pseudo = [thing for thing in picture.objects if thing.label == label]
    true = [thing for thing, index in zip(picture.image.objects, true_labels, strict=True) if index == label]
    pseudo_xyxy = np.array([thing.box_xyxy for thing in pseudo], np.float32).reshape(-1, 4)
    true_xyxy = np.array([thing.box_xyxy for thing in true], np.float32).reshape(-1, 4)
    scores = np.array([thing.score for thing in pseudo], np.float32)
    difficult = np.array([thing.difficult for thing in true], np.bool_)
    verdicts = judge_detections(scores, pairwise_iou(pseudo_xyxy, true_xyxy), difficult, HIT_IOU)
    hits, misses = int((verdicts == HIT).sum()), int((verdicts == MISS).sum())
    return hits, hits + misses, int((~difficult).sum())


def _shares(hits: int, counted: int, objects: int) -> dict[str, float | int | None]:
    return {
        "precision": round(hits / counted, 4) if counted else None,
        "recall": round(hits / objects, 4) if objects else None,
        "hits": hits,
        "pseudo_boxes": counted,
        "true_objects": objects,
    }
