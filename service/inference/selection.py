"""Which detections one request gets: the detector's, then the proposals' for the classes that it missed."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from models.bundle import Bundle
from models.letterbox import Letterbox
from models.postprocess import best_first, missed_classes, select_detections
from service.inference.stage_results import Choice, Classes, DetectorAnswer, ScoredProposals
from weaksam.schemas import DetectOptions

Float32 = npt.NDArray[np.float32]


def unanswered(bundle: Bundle, answer: DetectorAnswer, classes: Classes) -> Classes:
    """Those of the classes that the detector did not find well enough; all of them in a bundle without one.

    By its calibrated thresholds, whatever a request asks for: `min_score` says what is shown, not what is trusted.
    """
    return missed_classes(answer.found, classes, np.array(_detector_thresholds(bundle), np.float32))


def choose(
    bundle: Bundle,
    answer: DetectorAnswer,
    scored: ScoredProposals,
    classes: Classes,
    letterbox: Letterbox,
    options: DetectOptions,
    most: int,
) -> Choice:
    """The detections of a request, ``most`` of them at most."""
    missed = unanswered(bundle, answer, classes)
    proposals = scored.picture.proposals
    filling = select_detections(
        proposals.boxes_xyxy,
        scored.scores,
        scored.deltas,
        proposals.predicted_iou,
        missed,
        letterbox.valid_hw,
        bundle.post,
    )
    filled = np.isin(answer.found.labels, filling.labels)  # one model answers for a class, or things come back twice
    candidates = best_first([answer.found[~filled], filling])
    of_detector = _min_scores(_detector_thresholds(bundle), options)
    of_proposals = _min_scores(bundle.thresholds.score, options)
    least = np.where(candidates.by_detector, of_detector[candidates.labels], of_proposals[candidates.labels])
    enough = candidates[candidates.scores >= least]
    applied = of_detector.copy()
    applied[list(missed)] = of_proposals[list(missed)]
    return Choice(classes, applied, candidates, enough, enough[:most])


def _detector_thresholds(bundle: Bundle) -> tuple[float, ...]:
    return bundle.thresholds.detector or bundle.thresholds.score


def _min_scores(calibrated: tuple[float, ...], options: DetectOptions) -> Float32:
    return np.array(calibrated if options.min_score is None else [options.min_score] * len(calibrated), np.float32)
