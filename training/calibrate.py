"""Thresholds per class, chosen from tags alone."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

LEAST_THRESHOLD = 0.02


def presence_thresholds(scores: npt.NDArray[np.float32], tags: npt.NDArray[np.float32]) -> list[float]:
    """For each class the threshold on a picture's score that tells best (F1) whether its tag was given.

    Args:
        scores: [N,C], the classifier's, or the best detection's of each picture.
        tags: [N,C] zeros and ones.

    Returns:
        C thresholds; a class without a tagged picture gets the median of the others (0.5 where there are none).
    """
    known = np.any(tags > 0, axis=0)
    found = [best_f1_threshold(scores[:, c], tags[:, c] > 0) if known[c] else None for c in range(scores.shape[1])]
    middle = float(np.median([threshold for threshold in found if threshold is not None])) if known.any() else 0.5
    return [round(middle if threshold is None else threshold, 4) for threshold in found]


def best_f1_threshold(scores: npt.NDArray[np.float32], positive: npt.NDArray[np.bool_]) -> float:
    """Half-way between the last score admitted at the best F1 and the next one down, at least `LEAST_THRESHOLD`."""
    order = np.argsort(-scores, kind="stable")
    hits = np.cumsum(positive[order])
    f1 = 2 * hits / (np.arange(1, len(hits) + 1) + positive.sum())
    last = int(f1.argmax())
    below = scores[order[last + 1]] if last + 1 < len(order) else 0.0
    return max(LEAST_THRESHOLD, float(scores[order[last]] + below) / 2)
