"""Average precision as VOC and COCO define it, and recall of proposals."""

from __future__ import annotations

from typing import Literal

import numpy as np

from training.metrics.hits import HIT, IGNORED, Matches
from weaksam.arrays import Float32

Interpolation = Literal["area", "11_point", "101_point"]

RECALL_IOUS = (0.5, 0.75, 0.9)


def average_precision(
    scores: Float32, matches: Matches, positives: int, interpolation: Interpolation = "area"
) -> float:
    """Return the average precision of one class over a data set.

    Args:
        scores: [D] of all detections.
        matches: [D] from `match_as_voc` or `match_as_coco`.
        positives: number of true objects that are not difficult.
        interpolation: `area` under the precision envelope (VOC 2010 and later), `11_point` (VOC 2007), or `101_point`
            (COCO).

    Raises:
        ValueError: ``positives`` is 0.
    """
    if positives < 1:
        raise ValueError(f"positives must be at least 1, got {positives}: a class without objects has no precision")
    counted = matches != IGNORED
    order = np.argsort(-scores[counted], kind="stable")
    hits = np.cumsum(matches[counted][order] == HIT)
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


def recall_at(best_ious: Float32) -> dict[str, float]:
    """Return the share of true objects whose best proposal reaches each of `RECALL_IOUS`, in four digits.

    `best_ious` is [G]; keys are texts such as "0.5".
    """
    return {f"{threshold:g}": round(float(np.mean(best_ious >= threshold)), 4) for threshold in RECALL_IOUS}
