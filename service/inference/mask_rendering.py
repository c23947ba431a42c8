"""Mask rendering: the detector's own masks, those behind proposals, or new ones from box prompts."""

from __future__ import annotations

import asyncio
import base64
import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from models.boxes import enlarge_boxes
from models.bundle import Bundle
from models.detections import Detections
from models.letterbox import Letterbox, Part
from models.masks.drawing import mask_box, paste_mask
from models.masks.levels import Level, best_level, levels_of
from models.masks.zoom import better_levels, zoom_parts
from models.prompting.prompts import PromptBatch, box_prompts
from models.prompting.proposals import prompt_of
from service.inference.image_features import ImageFeatures
from service.inference.stage_results import DetectorOutput, ScoredProposals
from service.inference.stages import Stages
from weaksam.arrays import Float32, Mask
from weaksam.formats.png import encode_mask_png
from weaksam.formats.polygons import mask_to_polygons
from weaksam.formats.run_lengths import encode_rle
from weaksam.mask_schemas import AnyMask, MaskOptions, PngMask, PolygonMask, RleMask
from weaksam.schemas import DetectOptions


class RenderedMask(NamedTuple):
    """A detection's mask as the request asks for it, its score, and its tight box [4] in pixels of the image."""

    mask: AnyMask | None = None
    score: float | None = None
    box_xyxy_px: Float32 | None = None


class MaskRenderer:
    """Renders the masks of one request.

    Args:
        stages: runs `sam_decoder` for the masks that need it.
        bundle: says where masks come from, and how boxes prompt.
        letterbox: of the segmenter's input.
        features, detector, scored: what the detections came from.
        zoom: whether small objects that get a box prompt are looked at again, enlarged, see `models.masks.zoom`.
    """

    def __init__(
        self,
        stages: Stages,
        bundle: Bundle,
        letterbox: Letterbox,
        features: ImageFeatures,
        detector: DetectorOutput,
        scored: ScoredProposals,
        *,
        zoom: bool,
    ) -> None:
        self._stages = stages
        self._bundle = bundle
        self._letterbox = letterbox
        self._features = features
        self._detector = detector
        self._scored = scored
        self._zoom = zoom

    async def render(self, detections: Detections, options: DetectOptions) -> list[RenderedMask]:
        """Return the mask of each detection, in their order."""
        if options.mask_format == "none":
            return [RenderedMask()] * len(detections)
        rows = [detections[i : i + 1] for i in range(len(detections))]
        asked = [row for row in rows if not self._has_own(row)]
        levels = await self._look(asked, None) if asked else []
        for part_xyxy, inside in self._parts(asked).items():  # one by one: what is known of a part takes megabytes
            second_look = await self._look([asked[i] for i in inside], part_xyxy)
            for i, second in zip(inside, second_look, strict=True):
                levels[i] = better_levels(levels[i], second)
        of_asked = iter(levels)
        of_rows = [() if self._has_own(row) else next(of_asked) for row in rows]
        # One mask at a time: a hundred full-size masks of a large photograph would take gigabytes. A thread for each,
        # so that a request that is given up ends here.
        return [await asyncio.to_thread(self._rendered, *of_row, options) for of_row in zip(rows, of_rows, strict=True)]

    async def _look(self, rows: Sequence[Detections], part_xyxy: Part | None) -> list[list[Level]]:
        """Return the levels of each detection, as the segmenter sees it in the whole image or in a part of it."""
        segmenter = await self._features.segmenter(part_xyxy)
        look = segmenter.look
        prompts = [self._prompt(row, look.letterbox) for row in rows]
        decoded = await self._stages.decode_masks(segmenter, prompts, look.letterbox)
        return [levels_of(*answer, look, prompt) for answer, prompt in zip(decoded, prompts, strict=True)]

    def _parts(self, rows: Sequence[Detections]) -> dict[Part, list[int]]:
        """Return the parts to look at again, each with the detections in it."""
        by_box = [i for i, row in enumerate(rows) if self._zoom and self._by_box(row)]
        if not by_box:
            return {}
        boxes_xyxy_px = self._letterbox.boxes_to_image(np.concatenate([rows[i].boxes_xyxy for i in by_box]))
        inside: dict[Part, list[int]] = {}
        for i, part_xyxy in zip(by_box, zoom_parts(boxes_xyxy_px, self._letterbox.image_hw), strict=True):
            if part_xyxy is not None:
                inside.setdefault(part_xyxy, []).append(i)
        return inside

    def _has_own(self, row: Detections) -> bool:
        return self._bundle.post.mask_source == "detector" and bool(row.by_detector[0])

    def _by_box(self, row: Detections) -> bool:
        return self._bundle.post.mask_source == "box" or bool(row.by_detector[0])

    def _prompt(self, row: Detections, letterbox: Letterbox) -> PromptBatch:
        if self._by_box(row):
            boxes_xyxy = enlarge_boxes(row.boxes_xyxy, self._bundle.prompts.box_margin, self._letterbox.valid_hw)
            return box_prompts(self._letterbox.boxes_for(letterbox, boxes_xyxy))
        return prompt_of(self._scored.proposal_set.prompts, int(self._scored.proposals.prompts[row.sources[0]]))

    def _rendered(self, row: Detections, levels: Sequence[Level], options: DetectOptions) -> RenderedMask:
        mask_hw, score = self._own(row) if self._has_own(row) else self._decoded(row, levels)
        box_xyxy_px = mask_box(mask_hw) if mask_hw.any() else None
        return RenderedMask(encode_mask(mask_hw, options), round(score, 6), box_xyxy_px)

    def _own(self, row: Detections) -> tuple[Mask, float]:
        logits = self._detector.masks[row.sources[0]].astype(np.float32)
        frame_xyxy = self._letterbox.points_to_image(self._detector.frames_xyxy[row.sources[0]].reshape(2, 2)).ravel()
        inside = logits[logits > 0]
        score = float(np.mean(1 / (1 + np.exp(-inside)))) if len(inside) else 0.0
        return paste_mask(logits, frame_xyxy, self._letterbox.image_hw), score

    def _decoded(self, row: Detections, levels: Sequence[Level]) -> tuple[Mask, float]:
        chosen = best_level(levels) if self._by_box(row) else levels[self._scored.proposals.levels[row.sources[0]]]
        return chosen.draw(), chosen.predicted_iou


def encode_mask(mask_hw: Mask, options: MaskOptions) -> AnyMask:
    """Return a mask [H,W] in the format that the request asks for."""
    size_hw = (mask_hw.shape[0], mask_hw.shape[1])
    if options.mask_format == "polygon":
        found = mask_to_polygons(mask_hw, options.min_fidelity)
        rings = tuple(tuple(ring.ravel().tolist()) for ring in found.rings_xy)
        return PolygonMask(size=size_hw, polygons=rings, fidelity_iou=math.floor(found.fidelity_iou * 1e6) / 1e6)
    if options.mask_format == "png":
        return PngMask(size=size_hw, png_base64=base64.b64encode(encode_mask_png(mask_hw)).decode("ascii"))
    return RleMask(size=size_hw, counts=encode_rle(mask_hw)["counts"])
