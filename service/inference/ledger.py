"""The tag ledger: what became of each tag, and which stage lost it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from models.boxes import points_in_boxes
from models.bundle import Bundle
from models.labels import LabelSet
from models.prompting.peaks import Peaks
from models.prompting.proposals import Proposals
from service.inference.stage_results import ScoredProposals, Selection
from service.inference.tags import Tag
from weaksam.arrays import Float32
from weaksam.schemas import LossStage, TagRow


@dataclass(frozen=True)
class Evidence:
    """What each stage had of every class C; it tells where a tag was lost.

    Attributes:
        classified: [C] whether the classifier's score reaches its threshold.
        covered: [C] whether a proposal covers a peak of the class's map.
        best_scores: [C] best score of any candidate, NaN if there is none.
        above_threshold: [C] number of candidates whose score reaches `min_score`.
        returned: [C] number of detections in the response.
    """

    classified: npt.NDArray[np.bool_]
    covered: npt.NDArray[np.bool_]
    best_scores: npt.NDArray[np.float32]
    above_threshold: npt.NDArray[np.int64]
    returned: npt.NDArray[np.int64]


def covered_classes(peaks: Peaks, proposals: Proposals, classes: int) -> npt.NDArray[np.bool_]:
    """Return for each class [C] whether a proposal's box holds one of its peaks."""
    inside = points_in_boxes(peaks.points_xy, proposals.boxes_xyxy)  # [N,P]
    covered = np.zeros(classes, np.bool_)
    covered[peaks.labels[np.any(inside, axis=1)]] = True
    return covered


def collect_evidence(
    bundle: Bundle, tag_scores: Float32 | None, scored: ScoredProposals, selection: Selection
) -> Evidence:
    """Return what each stage of one request had of every class.

    Args:
        bundle: with the classifier's thresholds.
        tag_scores: [C] of the classifier; None if it did not run, since no tag was lost.
        scored, selection: of the request.
    """
    classes = len(bundle.labels)
    candidates = selection.candidates
    best_scores = np.full(classes, np.nan, np.float32)
    np.fmax.at(best_scores, candidates.labels, candidates.scores)
    covered = covered_classes(scored.peaks, scored.proposals, classes)
    # The detector makes proposals of its own.
    covered[candidates.labels[candidates.by_detector]] = True
    return Evidence(
        classified=np.ones(classes, np.bool_)
        if tag_scores is None
        else tag_scores >= np.array(bundle.thresholds.classifier, np.float32),
        covered=covered,
        best_scores=best_scores,
        above_threshold=np.bincount(selection.above_threshold.labels, minlength=classes),
        returned=np.bincount(selection.returned.labels, minlength=classes),
    )


def tag_row(tag: Tag, evidence: Evidence, labels: LabelSet) -> TagRow:
    """Return the ledger's row of one tag."""
    if tag.label is None:
        return TagRow(
            tag=tag.text,
            label=None,
            status="unknown",
            predicted=False,
            count=0,
            stage=None,
            best_score=None,
            nearest=tag.nearest,
        )
    count, best_score = int(evidence.returned[tag.label]), float(evidence.best_scores[tag.label])
    return TagRow(
        tag=tag.text,
        label=labels.names[tag.label],
        status="found" if count else "not_found",
        predicted=tag.predicted,
        count=count,
        stage=None if count else _first_loss(tag.label, evidence),
        best_score=None if np.isnan(best_score) else round(best_score, 6),
        nearest=(),
    )


def _first_loss(label: int, evidence: Evidence) -> LossStage:
    # A tag that the classifier rejects is still searched for: whoever tagged the image knows better.
    if evidence.above_threshold[label]:
        return "limit"
    if not evidence.classified[label]:
        return "classifier"
    return "score" if evidence.covered[label] else "proposals"
