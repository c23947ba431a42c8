"""Thresholds per class, chosen from tags alone."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

LEAST_THRESHOLD = 0.005
# WSDDN divides a class among the proposals of a picture, so its good scores are lower.
LEAST_WSDDN_THRESHOLD = 0.0005
TAG_RECALL = 0.9
# A detector's good scores crowd near 1, and a quantile of a few neighbouring frames would call most boxes missed.
MOST_DETECTOR_THRESHOLD = 0.5

Choose = Callable[[npt.NDArray[np.float32], npt.NDArray[np.bool_]], float]


def thresholds_by_class(scores: npt.NDArray[np.float32], tags: npt.NDArray[np.float32], choose: Choose) -> list[float]:
    """A threshold for each class, by `best_f1_threshold` or `tag_recall_threshold`.

    Args:
        scores: [N,C], the classifier's, or the best detection's of each picture.
        tags: [N,C] zeros and ones.
        choose: threshold from the scores [N] of one class and whether each picture bears its tag [N].

    Returns:
        C thresholds; a class without a tagged picture gets the median of the others (0.5 where there are none).
    """
    known = np.any(tags > 0, axis=0)
    found = [choose(scores[:, c], tags[:, c] > 0) if known[c] else None for c in range(scores.shape[1])]
    middle = float(np.median([threshold for threshold in found if threshold is not None])) if known.any() else 0.5
    return [round(middle if threshold is None else threshold, 4) for threshold in found]


def tag_recall_threshold(
    scores: npt.NDArray[np.float32], positive: npt.NDArray[np.bool_], least: float = LEAST_THRESHOLD, most: float = 1.0
) -> float:
    """The score that nine in ten pictures with the tag reach, within the given bounds.

    Whoever gives a tag knows that the thing is there.
    """
    return min(most, max(least, float(np.quantile(scores[positive], 1 - TAG_RECALL))))


def best_f1_threshold(scores: npt.NDArray[np.float32], positive: npt.NDArray[np.bool_]) -> float:
    """Half-way between the last score admitted at the best F1 and the next one down, at least `LEAST_THRESHOLD`."""
    order = np.argsort(-scores, kind="stable")
    hits = np.cumsum(positive[order])
    f1 = 2 * hits / (np.arange(1, len(hits) + 1) + positive.sum())
    last = int(f1.argmax())
    below = scores[order[last + 1]] if last + 1 < len(order) else 0.0
    return max(LEAST_THRESHOLD, float(scores[order[last]] + below) / 2)
