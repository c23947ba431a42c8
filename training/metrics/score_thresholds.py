"""Score thresholds per class, calibrated on tags alone."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np
import numpy.typing as npt

MIN_THRESHOLD = 0.005
# WSDDN divides a class among the proposals of an image, so its good scores are lower.
MIN_WSDDN_THRESHOLD = 0.0005
TAG_RECALL = 0.9
# A detector's good scores crowd near 1, and a quantile of a few neighbouring frames would call most boxes missed. Those
# of a class that it hardly learnt crowd near 0, and the quantile would show boxes for every wrong tag.
MIN_DETECTOR_THRESHOLD, MAX_DETECTOR_THRESHOLD = 0.1, 0.5

PickThreshold = Callable[[npt.NDArray[np.float32], npt.NDArray[np.bool_]], float]


def thresholds_by_class(
    scores: npt.NDArray[np.float32], tags: npt.NDArray[np.float32], pick: PickThreshold
) -> list[float]:
    """Return a threshold for each class, by `best_f1_threshold` or `tag_recall_threshold`.

    Args:
        scores: [N,C], the classifier's, or the best detection's of each image.
        tags: [N,C] zeros and ones.
        pick: threshold from the scores [N] of one class and whether each image bears its tag [N].

    Returns:
        C thresholds. A class without a tagged image gets the median of the others, or 0.5 if there are none.
    """
    known = np.any(tags > 0, axis=0)
    found = [pick(scores[:, c], tags[:, c] > 0) if known[c] else None for c in range(scores.shape[1])]
    middle = float(np.median([threshold for threshold in found if threshold is not None])) if known.any() else 0.5
    return [round(middle if threshold is None else threshold, 4) for threshold in found]


def tag_recall_threshold(
    scores: npt.NDArray[np.float32],
    positive: npt.NDArray[np.bool_],
    min_threshold: float = MIN_THRESHOLD,
    max_threshold: float = 1.0,
) -> float:
    """Return the score that nine in ten images with the tag reach, within the given bounds.

    Whoever gives a tag knows that the object is there.
    """
    return min(max_threshold, max(min_threshold, float(np.quantile(scores[positive], 1 - TAG_RECALL))))


def weak_detector_thresholds(
    scores: npt.NDArray[np.float32], tags: npt.NDArray[np.float32], method: str
) -> list[float]:
    """Return a threshold for each class of a weak detector.

    Args:
        scores: [N,C] the best detection's of each image.
        tags: [N,C] zeros and ones.
        method: that the detector learnt by; decides how low a threshold may be.
    """
    min_threshold = MIN_WSDDN_THRESHOLD if method == "wsddn" else MIN_THRESHOLD
    return thresholds_by_class(scores, tags, partial(tag_recall_threshold, min_threshold=min_threshold))


def best_f1_threshold(scores: npt.NDArray[np.float32], positive: npt.NDArray[np.bool_]) -> float:
    """Return the middle between the last score kept at the best F1 and the next lower one, at least `MIN_THRESHOLD`."""
    order = np.argsort(-scores, kind="stable")
    hits = np.cumsum(positive[order])
    f1 = 2 * hits / (np.arange(1, len(hits) + 1) + positive.sum())
    last = int(f1.argmax())
    below = scores[order[last + 1]] if last + 1 < len(order) else 0.0
    return max(MIN_THRESHOLD, float(scores[order[last]] + below) / 2)
