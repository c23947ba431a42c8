"""Hits and misses: which detections of an image find one of its true objects."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from models.boxes import pairwise_iou
from training.data.tagged import TrueObject
from weaksam.arrays import Flags, Float32

Matches = npt.NDArray[np.int8]

HIT, MISS, IGNORED = 1, 0, -1
HIT_IOU = 0.5


class HitCount(NamedTuple):
    """Detections that hit a true object, those that miss, and the true objects that are not difficult."""

    hits: int
    misses: int
    objects: int


def count_hits(boxes_xyxy: Float32, scores: Float32, truth: Sequence[TrueObject], min_iou: float = HIT_IOU) -> HitCount:
    """Count the hits among one image's detections of one class, by VOC's rule.

    Args:
        boxes_xyxy: [D,4] in image pixels.
        scores: [D].
        truth: the image's true objects of the class.
        min_iou: lowest IoU of a hit.
    """
    difficult = difficult_flags(truth)
    matches = match_as_voc(scores, pairwise_iou(boxes_xyxy, true_boxes(truth)), difficult, min_iou)
    return HitCount(int((matches == HIT).sum()), int((matches == MISS).sum()), int((~difficult).sum()))


def match_as_voc(scores: Float32, ious: Float32, difficult: Flags, iou_threshold: float) -> Matches:
    """Match one image's detections of one class as VOC's development kit does.

    In the order of falling score each detection goes to the true object that it overlaps most. Below the threshold it
    is a miss; on a difficult object it is ignored; on an object that a better detection has hit already it is a miss.

    Args:
        scores: [D].
        ious: [D,G] with the image's true objects of the class.
        difficult: [G].
        iou_threshold: lowest IoU of a hit.

    Returns:
        HIT, MISS or IGNORED for each detection [D], in the order given.
    """
    matches = np.full(len(scores), MISS, np.int8)
    if not len(difficult):
        return matches
    taken = np.zeros(len(difficult), np.bool_)
    for index in np.argsort(-scores, kind="stable"):
        best = int(ious[index].argmax())
        if ious[index, best] < iou_threshold:
            continue
        if difficult[best]:
            matches[index] = IGNORED
        elif not taken[best]:
            matches[index] = HIT
            taken[best] = True
    return matches


def match_as_coco(scores: Float32, ious: Float32, ignored: Flags, iou_threshold: float) -> Matches:
    """Match by COCO's rule: each detection goes to the best object that no better detection has taken.

    Args:
        scores: [D].
        ious: [D,G] with the image's true objects of the class.
        ignored: [G] crowds, which may be met many times; an object that counts goes before them.
        iou_threshold: lowest IoU of a hit.

    Returns:
        HIT, MISS or IGNORED for each detection [D], in the order given.
    """
    matches = np.full(len(scores), MISS, np.int8)
    free = ~ignored
    for index in np.argsort(-scores, kind="stable"):
        reached = ious[index] >= iou_threshold
        if (reached & free).any():
            matches[index] = HIT
            free[int(np.where(reached & free, ious[index], -1).argmax())] = False
        elif (reached & ignored).any():
            matches[index] = IGNORED
    return matches


def is_localised(scores: Float32, ious: Float32) -> bool:
    """Return whether the best-scored box hits any object, CorLoc's question; `scores` [D], `ious` [D,G]."""
    return bool(len(scores)) and bool(ious[scores.argmax()].max(initial=0.0) >= HIT_IOU)


def true_boxes(truth: Sequence[TrueObject]) -> Float32:
    """Return the objects' boxes [G,4] in pixels of the upright image."""
    return np.array([thing.box_xyxy for thing in truth], np.float32).reshape(-1, 4)


def difficult_flags(truth: Sequence[TrueObject]) -> Flags:
    """Return which objects [G] count neither way."""
    return np.array([thing.difficult for thing in truth], np.bool_)
