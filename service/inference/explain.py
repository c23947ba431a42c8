"""The heat maps, peaks, prompts and proposals behind a result, in pixels of the upright image."""

from __future__ import annotations

import base64

import numpy as np

from models.bundle import Bundle
from models.letterbox import Letterbox
from models.prompting.prompts import BACKGROUND, BOTTOM_RIGHT, FOREGROUND, TOP_LEFT, PromptBatch
from models.prompting.proposals import Proposals, ProposalSet
from service.inference.heat_map import heat_map_png
from service.inference.stage_results import ClassMaps, ScoredProposals, Selection
from weaksam.schemas import Box, Explanation, PeakRow, PromptRow, ProposalRow, TagExplanation


def explain(
    bundle: Bundle,
    letterbox: Letterbox,
    class_maps: ClassMaps,
    scored: ScoredProposals,
    selection: Selection,
) -> Explanation:
    """Return what a user needs to see why each requested class was found or not."""
    return Explanation(
        prompts=_prompt_rows(letterbox, scored.proposal_set),
        proposals=_proposal_rows(letterbox, scored.proposals),
        dropped=_proposal_rows(letterbox, scored.proposal_set.dropped),
        tags=tuple(
            TagExplanation(
                label=bundle.labels.names[label],
                classifier_score=float(class_maps.tag_scores[label]),
                classifier_threshold=bundle.thresholds.classifier[label],
                min_score=float(selection.min_scores[label]),
                cam_png_base64=_heat_map(class_maps, label, letterbox),
                peaks=_peak_rows(letterbox, scored, label),
                proposal_scores=tuple(scored.scores[:, label].tolist()),
            )
            for label in selection.classes
        ),
    )


def _heat_map(class_maps: ClassMaps, label: int, letterbox: Letterbox) -> str:
    return base64.b64encode(heat_map_png(class_maps.maps_kchw[:, label], letterbox)).decode("ascii")


def _prompt_rows(letterbox: Letterbox, proposal_set: ProposalSet) -> tuple[PromptRow, ...]:
    prompts = [batch[i] for batch in proposal_set.prompts for i in range(len(batch))]
    kept, dropped = (set(masks.prompts.tolist()) for masks in (proposal_set.proposals, proposal_set.dropped))
    return tuple(
        PromptRow(
            points_xy=_points_xy(letterbox, prompt, FOREGROUND, BACKGROUND),
            box_xyxy=_box_xyxy(letterbox, prompt),
            from_peak=index < proposal_set.peak_prompts,
            fate="kept" if index in kept else "dropped" if index in dropped else "poor",
        )
        for index, prompt in enumerate(prompts)
    )


def _points_xy(letterbox: Letterbox, prompt: PromptBatch, *labels: float) -> tuple[tuple[float, float], ...]:
    points_xy = letterbox.points_to_image(prompt.coords[np.isin(prompt.labels, labels)])
    return tuple((x, y) for x, y in points_xy.round(2).tolist())


def _box_xyxy(letterbox: Letterbox, prompt: PromptBatch) -> Box | None:
    corners = _points_xy(letterbox, prompt, TOP_LEFT, BOTTOM_RIGHT)
    return (*corners[0], *corners[1]) if corners else None


def _proposal_rows(letterbox: Letterbox, proposals: Proposals) -> tuple[ProposalRow, ...]:
    columns = (
        letterbox.boxes_to_image(proposals.boxes_xyxy).tolist(),
        proposals.predicted_iou.tolist(),
        proposals.stability.tolist(),
        proposals.from_peak.tolist(),
        proposals.prompts.tolist(),
    )
    return tuple(
        ProposalRow(box_xyxy=tuple(box), predicted_iou=iou, stability=stability, from_peak=from_peak, prompt=prompt)
        for box, iou, stability, from_peak, prompt in zip(*columns, strict=True)
    )


def _peak_rows(letterbox: Letterbox, scored: ScoredProposals, label: int) -> tuple[PeakRow, ...]:
    of_label = scored.peaks.labels == label
    points_xy = letterbox.points_to_image(scored.peaks.points_xy[of_label]).tolist()
    values = scored.peaks.values[of_label].tolist()
    return tuple(PeakRow(point_xy=(x, y), value=value) for (x, y), value in zip(points_xy, values, strict=True))
