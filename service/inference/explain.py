"""The peaks and proposals behind an answer, in pixels of the upright picture."""

from __future__ import annotations

from models.bundle import Bundle
from models.letterbox import Letterbox
from service.inference.stage_results import Choice, Features, ScoredProposals
from weaksam.schemas import Explanation, PeakRow, ProposalRow, TagExplanation


def explain(
    bundle: Bundle,
    letterbox: Letterbox,
    features: Features,
    scored: ScoredProposals,
    choice: Choice,
) -> Explanation:
    """Everything a user needs to see why each class asked for was found or not."""
    return Explanation(
        proposals=_proposal_rows(letterbox, scored),
        tags=tuple(
            TagExplanation(
                label=bundle.labels.names[label],
                classifier_score=float(features.tag_scores[label]),
                classifier_threshold=bundle.thresholds.classifier[label],
                min_score=float(choice.min_scores[label]),
                peaks=_peak_rows(letterbox, scored, label),
                proposal_scores=tuple(scored.scores[:, label].tolist()),
            )
            for label in choice.classes
        ),
    )


def _proposal_rows(letterbox: Letterbox, scored: ScoredProposals) -> tuple[ProposalRow, ...]:
    proposals = scored.picture.proposals
    columns = (
        letterbox.boxes_to_image(proposals.boxes_xyxy).tolist(),
        proposals.predicted_iou.tolist(),
        proposals.stability.tolist(),
        proposals.from_peak.tolist(),
    )
    return tuple(
        ProposalRow(box_xyxy=tuple(box), predicted_iou=iou, stability=stability, from_peak=from_peak)
        for box, iou, stability, from_peak in zip(*columns, strict=True)
    )


def _peak_rows(letterbox: Letterbox, scored: ScoredProposals, label: int) -> tuple[PeakRow, ...]:
    mine = scored.peaks.labels == label
    points_xy = letterbox.points_to_image(scored.peaks.points_xy[mine]).tolist()
    values = scored.peaks.values[mine].tolist()
    return tuple(PeakRow(point_xy=(x, y), value=value) for (x, y), value in zip(points_xy, values, strict=True))
