"""Detection metrics in numpy: average precision as VOC and COCO define it, CorLoc, recall of proposals."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
import numpy.typing as npt

Interpolation = Literal["area", "11_point", "101_point"]
Float32 = npt.NDArray[np.float32]

HIT, MISS, IGNORED = 1, 0, -1
HIT_IOU = 0.5
RECALL_IOUS = (0.5, 0.75, 0.9)


def judge_detections(
    scores: Float32, ious: Float32, difficult: npt.NDArray[np.bool_], iou_threshold: float
) -> npt.NDArray[np.int8]:
    """Judge one image's detections of one class as VOC's development kit does.

    In the order of falling score each detection goes to the true object that it overlaps most. Below the threshold it
    is a miss; on a difficult object it is ignored; on an object that a better detection has hit already it is a miss.

    Args:
        scores: [D].
        ious: [D,G] with the image's true objects of the class.
        difficult: [G].
        iou_threshold: least IoU of a hit.

    Returns:
        HIT, MISS or IGNORED for each detection [D], in the order given.
    """
    verdicts = np.full(len(scores), MISS, np.int8)
    if not len(difficult):
        return verdicts
    taken = np.zeros(len(difficult), np.bool_)
    for index in np.argsort(-scores, kind="stable"):
        best = int(ious[index].argmax())
        if ious[index, best] < iou_threshold:
            continue
        if difficult[best]:
            verdicts[index] = IGNORED
        elif not taken[best]:
            verdicts[index] = HIT
            taken[best] = True
    return verdicts


def judge_as_coco(
    scores: Float32, ious: Float32, ignored: npt.NDArray[np.bool_], iou_threshold: float
) -> npt.NDArray[np.int8]:
    """As `judge_detections`, by COCO's rule: each detection goes to the best object that no better one has taken.

    Args:
        scores: [D].
        ious: [D,G] with the image's true objects of the class.
        ignored: [G] crowds, which may be met many times; an object that counts goes before them.
        iou_threshold: least IoU of a hit.
    """
    verdicts = np.full(len(scores), MISS, np.int8)
    free = ~ignored
    for index in np.argsort(-scores, kind="stable"):
        reached = ious[index] >= iou_threshold
        if (reached & free).any():
            verdicts[index] = HIT
            free[int(np.where(reached & free, ious[index], -1).argmax())] = False
        elif (reached & ignored).any():
            verdicts[index] = IGNORED
    return verdicts


def average_precision(
    scores: Float32, verdicts: npt.NDArray[np.int8], positives: int, interpolation: Interpolation = "area"
) -> float:
    """Average precision of one class over a data set.

    Args:
        scores: [D] of all detections.
        verdicts: [D] from `judge_detections`.
        positives: number of true objects that are not difficult; must not be 0.
        interpolation: `area` under the precision envelope (VOC 2010 and later), `11_point` (VOC 2007), or `101_point`
            (COCO).
    """
    if positives < 1:
        raise ValueError(f"positives must be at least 1, got {positives}: a class without objects has no precision")
    counted = verdicts != IGNORED
    order = np.argsort(-scores[counted], kind="stable")
    hits = np.cumsum(verdicts[counted][order] == HIT)
    recall = hits / positives
    precision = hits / np.arange(1, len(hits) + 1)
    # from the right: the best precision at this recall or a higher one
    envelope = np.maximum.accumulate(precision[::-1])[::-1]
    if interpolation == "11_point":
        reached = [envelope[recall >= level - 1e-9] for level in np.linspace(0, 1, 11)]
        return float(np.mean([part.max(initial=0.0) for part in reached]))
    if interpolation == "101_point":
        # without the tolerance above: COCO's own rounding decides whether a recall is reached
        places = np.searchsorted(recall, np.linspace(0, 1, 101))
        return float(np.append(envelope, 0.0)[places].mean())
    return float(np.sum(np.diff(recall, prepend=0.0) * envelope))


def is_localised(scores: Float32, ious: Float32, iou_threshold: float = HIT_IOU) -> bool:
    """CorLoc's question of one picture and tag: does the best-scored box hit any object? `scores` [D], `ious` [D,G]."""
    return bool(len(scores)) and bool(ious[scores.argmax()].max(initial=0.0) >= iou_threshold)


def recall_at(best_ious: Float32, iou_thresholds: Sequence[float]) -> dict[str, float]:
    """Share of true objects whose best proposal reaches each threshold; `best_ious` is [G], keys such as "0.5"."""
    return {f"{threshold:g}": float(np.mean(best_ious >= threshold)) for threshold in iou_thresholds}
