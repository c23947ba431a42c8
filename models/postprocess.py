"""From scored proposals to detections: closed world, box refinement, suppression per class."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from models.boxes import box_areas, clip_boxes, nms, pairwise_intersection, pairwise_iou
from models.detections import Detections
from models.settings import PostSettings
from weaksam.arrays import Float32

# Faster R-CNN's scaling of box deltas, and its bound on growth (arXiv 1506.01497 and its public code).
DELTA_WEIGHTS = np.array([10.0, 10.0, 5.0, 5.0], np.float32)
MAX_LOG_GROWTH = float(np.log(1000.0 / 16.0))
# Of a detection's score, what another tag's must have to claim its thing.
CLAIM_SHARE = 0.5
# Of its score, what a detection keeps that another one has beaten.
BEATEN_SHARE = 0.1


def apply_deltas(boxes_xyxy: Float32, deltas: Float32) -> Float32:
    """Return boxes [N,4] moved and scaled by deltas [N,4] (dx, dy, dw, dh as in R-CNN, times `DELTA_WEIGHTS`)."""
    scaled = deltas / DELTA_WEIGHTS
    sides_wh = boxes_xyxy[:, 2:] - boxes_xyxy[:, :2]
    centres_xy = boxes_xyxy[:, :2] + sides_wh / 2 + scaled[:, :2] * sides_wh
    half_wh = sides_wh * np.exp(np.minimum(scaled[:, 2:], MAX_LOG_GROWTH)) / 2
    return np.concatenate([centres_xy - half_wh, centres_xy + half_wh], axis=1).astype(np.float32)


def move_to_mask(box_xyxy: Float32, mask_xyxy: Float32 | None, share: float) -> Float32:
    """Return a box [4] moved by a share of the way towards its mask's tight box [4]; without a mask it stays."""
    return box_xyxy if mask_xyxy is None else box_xyxy + np.float32(share) * (mask_xyxy - box_xyxy)


def weighted_scores(scores: Float32, predicted_iou: Float32, quality_power: float) -> Float32:
    """Return the scores [P,C] of proposals, each weighed by its predicted IoU [P], see `PostSettings.quality_power`."""
    # Published segmenters predict IoUs outside of 0..1, too.
    return (scores * np.clip(predicted_iou, 0, 1)[:, None] ** quality_power).astype(np.float32)


def best_scores(scores: Float32, predicted_iou: Float32, quality_power: float) -> Float32:
    """Return the best of `weighted_scores` of each class [C]; 0 without proposals."""
    best: Float32 = weighted_scores(scores, predicted_iou, quality_power).max(axis=0, initial=0)
    return best


def select_detections(
    boxes_xyxy: Float32,
    scores: Float32,
    deltas: Float32,
    predicted_iou: Float32,
    allowed: Sequence[int],
    valid_hw: tuple[int, int],
    settings: PostSettings,
) -> Detections:
    """Return the detections of the allowed classes, best first; no other class can come back.

    Args:
        boxes_xyxy: proposals [P,4] in pixels of the graph's input.
        scores: [P,C].
        deltas: [P,C,4], or [P,1,4] if all classes share them.
        predicted_iou: [P] the decoder's estimate of each mask, see `PostSettings.quality_power`.
        allowed: class indices.
        valid_hw: part of the input that holds the image, in pixels.

    Returns:
        Detections in pixels of the graph's input, ``sources`` the proposals they came from. No score threshold is
        applied: the caller's ledger needs the best score of a class even if it is too low.
    """
    scores = weighted_scores(scores, predicted_iou, settings.quality_power)
    parts = []
    for label in allowed:
        refined = clip_boxes(apply_deltas(boxes_xyxy, deltas[:, min(label, deltas.shape[1] - 1)]), valid_hw)
        kept = nms(refined, scores[:, label], settings.nms_iou)
        labels = np.full(len(kept), label, np.int64)
        parts.append(Detections(refined[kept], scores[kept, label], labels, kept, np.zeros(len(kept), np.bool_)))
    return best_first(parts)


def detector_detections(
    boxes_xyxy: Float32, scores: Float32, labels: npt.NDArray[np.int64], valid_hw: tuple[int, int]
) -> Detections:
    """Return the output of the graph `detector` as detections, in its order and frame.

    Boxes [D,4] are cut to the part of the input that holds the image; those that lie in the padding go.
    """
    cut = clip_boxes(boxes_xyxy, valid_hw)
    inside = np.flatnonzero((cut[:, 2:] > cut[:, :2]).all(axis=1))
    return Detections(cut[inside], scores[inside], labels[inside], inside, np.ones(len(inside), np.bool_))


def missed_classes(found: Detections, classes: Sequence[int], min_scores: Float32) -> tuple[int, ...]:
    """Return those classes without a detection that reaches their minimum; ``min_scores`` is [C]."""
    seen = set(found.labels[found.scores >= min_scores[found.labels]].tolist())
    return tuple(label for label in classes if label not in seen)


def favour_one_tag(found: Detections, max_iou: float) -> Detections:
    """Return the detections, best first, after those that call a thing by a second tag lost most of their score.

    Every tag is in the image, so the best detection of each class keeps its score. Any other keeps a tenth of it if its
    IoU with a detection of another class is higher than ``max_iou``, unless that one is less than half as sure: its tag
    may be wrong. This is soft suppression (Soft-NMS, arXiv 1704.04503), but between classes, which is ours.

    Args:
        found: best first.
        max_iou: 1 leaves all as they are.
    """
    if max_iou >= 1 or len(found) < 2:
        return found
    overlaps = pairwise_iou(found.boxes_xyxy, found.boxes_xyxy) > max_iou
    sure_enough = found.scores[None] >= CLAIM_SHARE * found.scores[:, None]
    clashes = overlaps & sure_enough & (found.labels[:, None] != found.labels[None])
    kept = np.zeros(len(found), np.bool_)
    kept[np.unique(found.labels, return_index=True)[1]] = True
    for row in np.flatnonzero(~kept):
        kept[row] = not (clashes[row] & kept).any()
    scores = np.where(kept, found.scores, np.float32(BEATEN_SHARE) * found.scores)
    return best_first([replace(found, scores=scores)])


def favour_one_box(found: Detections, max_nested_share: float) -> Detections:
    """Return the detections, best first, after those lost most of their score that are nested with a better one.

    Two boxes of one class, both from the detector or both from proposals, are nested if more than ``max_nested_share``
    of the smaller lies in the larger. One of them is then a part of the object, or a group: non-maximum suppression
    leaves both, since their IoU is low. The worse keeps a tenth of its score. Pseudo ground truth drops such boxes too
    (WeakSAM, arXiv 2402.14812).

    Args:
        found: best first.
        max_nested_share: 1 leaves all as they are.
    """
    if max_nested_share >= 1 or len(found) < 2:
        return found
    areas = np.maximum(box_areas(found.boxes_xyxy), 1e-9)
    shares = pairwise_intersection(found.boxes_xyxy, found.boxes_xyxy) / np.minimum(areas[:, None], areas[None])
    alike = (found.labels[:, None] == found.labels[None]) & (found.by_detector[:, None] == found.by_detector[None])
    nested = np.tril((shares > max_nested_share) & alike, -1)
    kept = np.ones(len(found), np.bool_)
    for row in np.flatnonzero(nested.any(axis=1)):
        kept[row] = not (nested[row] & kept).any()
    scores = np.where(kept, found.scores, np.float32(BEATEN_SHARE) * found.scores)
    return best_first([replace(found, scores=scores)])


def best_first(parts: Sequence[Detections]) -> Detections:
    """Return all parts in one, by falling score."""
    found = Detections.concat(parts)
    return found[np.argsort(-found.scores, kind="stable")]
