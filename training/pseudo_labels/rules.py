"""Which boxes of one tag in one picture become pseudo ground truth."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from models.boxes import box_areas, pairwise_intersection

Float32 = npt.NDArray[np.float32]
Int64 = npt.NDArray[np.int64]
Flags = npt.NDArray[np.bool_]
LEAST_RANGE = 1e-8


def top1_pgt(scores: Float32) -> Int64:
    """Index of the best score [N], the first of equals; none of none."""
    return np.flatnonzero(_is_best(scores))


def threshold_pgt(scores: Float32, least_score: float) -> Int64:
    """Indices of the scores [N] that reach ``least_score``; it may be that none does."""
    return np.flatnonzero(scores >= least_score)


def adaptive_pgt(
    boxes_xyxy: Float32, scores: Float32, keep_share: float, contained_share: float, least_further: float = 0.0
) -> Int64:
    """Indices of the boxes that adaptive PGT keeps (WeakSAM, arXiv 2402.14812), in the order given.

    The best box always stays. Others stay where score / (max - min + 1e-8) reaches ``keep_share``, unless they lie
    inside another box that got as far. Two changes to the published rule: the best box is never dropped, and of two
    that contain each other the higher score stays, where near-duplicates would else delete each other. And one
    addition: where even the best box is poor, others of nearly its score are no better, so they also need a score of
    their own.

    Args:
        boxes_xyxy: [N,4] of one tag in one picture.
        scores: [N].
        keep_share: least normalised score.
        contained_share: least share of a box's area inside another at which it counts as inside.
        least_further: least score, as it stands, of boxes besides the best.
    """
    best = _is_best(scores)
    span = float(scores.max() - scores.min()) if len(scores) else 0.0
    enough = best | ((scores / (span + LEAST_RANGE) >= keep_share) & (scores >= least_further))
    chosen = np.flatnonzero(enough)
    dropped = _is_contained(boxes_xyxy[chosen], scores[chosen], contained_share) & ~best[chosen]
    return chosen[~dropped]


def _is_best(scores: Float32) -> Flags:
    best = np.zeros(len(scores), np.bool_)
    if len(scores):
        best[scores.argmax()] = True
    return best


def _is_contained(boxes_xyxy: Float32, scores: Float32, contained_share: float) -> Flags:
    """Whether each box [N] lies inside another; of two that lie inside each other, only the lower score does."""
    shares = pairwise_intersection(boxes_xyxy, boxes_xyxy) / np.maximum(box_areas(boxes_xyxy), 1e-9)[:, None]
    inside = shares >= contained_share  # [i,j]: i lies inside j
    np.fill_diagonal(inside, False)
    order = np.argsort(np.argsort(-scores, kind="stable"))  # of equal scores the earlier box is the better one
    better = order[:, None] < order[None, :]
    return np.asarray(np.any(inside & ~(inside.T & better), axis=1), np.bool_)
