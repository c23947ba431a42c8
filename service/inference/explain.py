"""The peaks and proposals behind a result, in pixels of the upright image."""

from __future__ import annotations

from models.bundle import Bundle
from models.letterbox import Letterbox
from service.inference.stage_results import Float32, ScoredProposals, Selection
from weaksam.schemas import Explanation, PeakRow, ProposalRow, TagExplanation


def explain(
    bundle: Bundle,
    letterbox: Letterbox,
    tag_scores: Float32,
    scored: ScoredProposals,
    selection: Selection,
) -> Explanation:
    """Return what a user needs to see why each requested class was found or not."""
    return Explanation(
        proposals=_proposal_rows(letterbox, scored),
        tags=tuple(
            TagExplanation(
                label=bundle.labels.names[label],
                classifier_score=float(tag_scores[label]),
                classifier_threshold=bundle.thresholds.classifier[label],
                min_score=float(selection.min_scores[label]),
                peaks=_peak_rows(letterbox, scored, label),
                proposal_scores=tuple(scored.scores[:, label].tolist()),
            )
            for label in selection.classes
        ),
    )


def _proposal_rows(letterbox: Letterbox, scored: ScoredProposals) -> tuple[ProposalRow, ...]:
    proposals = scored.proposals
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
    of_label = scored.peaks.labels == label
    points_xy = letterbox.points_to_image(scored.peaks.points_xy[of_label]).tolist()
    values = scored.peaks.values[of_label].tolist()
    return tuple(PeakRow(point_xy=(x, y), value=value) for (x, y), value in zip(points_xy, values, strict=True))
