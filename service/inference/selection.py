"""Which detections a request gets: the detector's, and the proposals' for the classes that the detector missed."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import numpy.typing as npt

from models.boxes import pairwise_iou
from models.bundle import Bundle
from models.detections import Detections
from models.letterbox import Letterbox
from models.postprocess import best_first, favour_one_box, favour_one_tag, missed_classes, select_detections
from service.inference.stage_results import Classes, DetectorOutput, RequestedClasses, ScoredProposals, Selection
from weaksam.arrays import Float32
from weaksam.schemas import DetectOptions


def missed_by_detector(bundle: Bundle, detector: DetectorOutput, classes: Classes) -> Classes:
    """Return the classes that the detector did not find well enough; all of them in a bundle without a detector.

    Its calibrated thresholds decide, not the request: `min_score` says what is shown, not what is trusted.
    """
    return missed_classes(detector.found, classes, np.array(_detector_thresholds(bundle), np.float32))


def select(
    bundle: Bundle,
    detector: DetectorOutput,
    scored: ScoredProposals,
    requested: RequestedClasses,
    letterbox: Letterbox,
    options: DetectOptions,
    max_detections: int,
) -> Selection:
    """Select the detections of one request, at most ``max_detections``.

    The proposals add what overlaps none of the detector's boxes of the class. If the detector missed the class, a
    proposal that reaches its own threshold also confirms the box that it overlaps most: that box gets the higher of
    both scores, and needs the proposals' threshold only. Then a second tag of the same thing loses (`favour_one_tag`),
    and so does a second box of the same tag (`favour_one_box`). Last, a plausible class that would get nothing gets the
    detector's best box of it, if its score is not too low (`PostSettings.sent_tag_min_score`).

    Args:
        bundle: with the thresholds.
        detector, scored: outputs of the two models.
        requested: the request's classes.
        letterbox: of the segmenter's input.
        options: of the request.
        max_detections: bound on what is returned.
    """
    missed = missed_by_detector(bundle, detector, requested.classes)
    proposals = scored.proposals
    from_proposals = select_detections(
        proposals.boxes_xyxy,
        scored.scores,
        scored.deltas,
        proposals.predicted_iou,
        requested.from_proposals,
        letterbox.valid_hw,
        bundle.post,
    )
    confirming = _confirming(bundle, from_proposals, missed)
    detected = _with_confirmed_scores(detector.found, confirming, bundle.post.nms_iou)
    is_found = _overlaps(from_proposals, detected, bundle.post.nms_iou).any(axis=1)
    added = from_proposals[np.flatnonzero(~is_found)]
    one_tag = favour_one_tag(best_first([detected, added]), bundle.post.one_tag_iou)
    candidates = favour_one_box(one_tag, bundle.post.nested_share)
    confirmed = np.asarray(_confirmed(candidates, confirming, bundle.post.nms_iou).any(axis=1))
    needed, min_scores = _thresholds(bundle, candidates, confirmed, missed, requested.plausible, options)
    above_threshold = candidates[candidates.scores >= needed]
    return Selection(requested.classes, min_scores, candidates, above_threshold, above_threshold[:max_detections])


def _thresholds(
    bundle: Bundle,
    candidates: Detections,
    confirmed: npt.NDArray[np.bool_],
    missed: Classes,
    plausible: Classes,
    options: DetectOptions,
) -> tuple[Float32, Float32]:
    """Return the score that each candidate [N] needs, and the threshold of each class [C] that had the last word."""
    detector_min = _min_scores(_detector_thresholds(bundle), options)
    proposal_min = _min_scores(bundle.thresholds.score, options)
    by_detector_alone = candidates.by_detector & ~confirmed
    needed = np.where(by_detector_alone, detector_min[candidates.labels], proposal_min[candidates.labels])
    min_scores = detector_min.copy()
    min_scores[list(missed)] = proposal_min[list(missed)]
    if options.min_score is None:
        doubtful = _best_of_lost(candidates, candidates.scores >= needed, plausible)
        least = np.minimum(needed[doubtful], np.float32(bundle.post.sent_tag_min_score))
        needed[doubtful] = min_scores[candidates.labels[doubtful]] = least
    return needed, min_scores


def _confirming(bundle: Bundle, from_proposals: Detections, missed: Classes) -> Detections:
    trusted = from_proposals.scores >= np.array(bundle.thresholds.score, np.float32)[from_proposals.labels]
    return from_proposals[np.flatnonzero(trusted & np.isin(from_proposals.labels, missed))]


def _with_confirmed_scores(found: Detections, confirming: Detections, max_iou: float) -> Detections:
    """Return the detections, each with the highest score of its own and those that confirm it."""
    confirmed = _confirmed(found, confirming, max_iou)
    scores = np.where(confirmed, confirming.scores, np.float32(0)).max(axis=1, initial=0)
    return replace(found, scores=np.maximum(found.scores, scores))


def _confirmed(found: Detections, confirming: Detections, max_iou: float) -> npt.NDArray[np.bool_]:
    """Return [N,M] which detection each of ``confirming`` overlaps most, if by more than ``max_iou``."""
    overlaps = np.where(_overlaps(found, confirming, max_iou), pairwise_iou(found.boxes_xyxy, confirming.boxes_xyxy), 0)
    return np.asarray((overlaps > 0) & (overlaps == overlaps.max(axis=0, initial=0)))


def _best_of_lost(
    candidates: Detections, is_returned: npt.NDArray[np.bool_], classes: Classes
) -> npt.NDArray[np.integer]:
    """Return the rows of the detector's best candidates of those classes of which none is returned."""
    lost = np.setdiff1d(classes, candidates.labels[is_returned])
    rows = np.flatnonzero(candidates.by_detector & np.isin(candidates.labels, lost))  # best first
    return rows[np.unique(candidates.labels[rows], return_index=True)[1]]


def _overlaps(found: Detections, others: Detections, max_iou: float) -> npt.NDArray[np.bool_]:
    """Return [N,M] whether two detections of the same class overlap by more than ``max_iou``."""
    same_class = found.labels[:, None] == others.labels[None]
    return np.asarray(same_class & (pairwise_iou(found.boxes_xyxy, others.boxes_xyxy) > max_iou))


def _detector_thresholds(bundle: Bundle) -> tuple[float, ...]:
    return bundle.thresholds.detector or bundle.thresholds.score


def _min_scores(calibrated: tuple[float, ...], options: DetectOptions) -> Float32:
    return np.array(calibrated if options.min_score is None else [options.min_score] * len(calibrated), np.float32)
