"""Rules of pseudo ground truth: which boxes of one tag in one image are kept."""

from __future__ import annotations

import numpy as np

from models.boxes import box_areas, pairwise_intersection
from weaksam.arrays import Flags, Float32, Int64

MIN_RANGE = 1e-8


def top1_rule(scores: Float32) -> Int64:
    """Return the index of the best score [N], the first of equals; nothing if there is none."""
    return np.flatnonzero(_is_best(scores))


def threshold_rule(scores: Float32, min_score: float) -> Int64:
    """Return the indices of the scores [N] that reach ``min_score``, perhaps none."""
    return np.flatnonzero(scores >= min_score)


def adaptive_rule(
    boxes_xyxy: Float32, scores: Float32, keep_share: float, contained_share: float, min_further_score: float = 0.0
) -> Int64:
    """Return the indices of the boxes that adaptive pseudo ground truth keeps, in the order given.

    After WeakSAM (arXiv 2402.14812). The best box always stays. Others stay if score / (max - min + 1e-8) reaches
    ``keep_share``, unless they lie inside another box that got as far. Two changes to the published rule: the best box
    is never dropped, and of two that contain each other the higher score stays, since near-duplicates would delete each
    other. One addition: other boxes also need ``min_further_score``. If the best box is poor, others of nearly its
    score are no better.

    Args:
        boxes_xyxy: [N,4] of one tag in one image.
        scores: [N].
        keep_share: lowest normalised score.
        contained_share: a box counts as inside another from this share of its area on.
        min_further_score: lowest score, not normalised, of boxes besides the best.
    """
    best = _is_best(scores)
    span = float(scores.max() - scores.min()) if len(scores) else 0.0
    enough = best | ((scores / (span + MIN_RANGE) >= keep_share) & (scores >= min_further_score))
    kept = np.flatnonzero(enough)
    dropped = _is_contained(boxes_xyxy[kept], scores[kept], contained_share) & ~best[kept]
    return kept[~dropped]


def _is_best(scores: Float32) -> Flags:
    best = np.zeros(len(scores), np.bool_)
    if len(scores):
        best[scores.argmax()] = True
    return best


def _is_contained(boxes_xyxy: Float32, scores: Float32, contained_share: float) -> Flags:
    """Return whether each box [N] lies inside another; of two inside each other, only the lower score counts."""
    shares = pairwise_intersection(boxes_xyxy, boxes_xyxy) / np.maximum(box_areas(boxes_xyxy), 1e-9)[:, None]
    inside = shares >= contained_share  # [i,j]: i lies inside j
    np.fill_diagonal(inside, False)
    order = np.argsort(np.argsort(-scores, kind="stable"))  # of equal scores the earlier box is the better one
    better = order[:, None] < order[None, :]
    return np.asarray(np.any(inside & ~(inside.T & better), axis=1), np.bool_)
