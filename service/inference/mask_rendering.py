"""Mask rendering: the detector's own masks, those behind proposals, or new ones from box prompts."""

from __future__ import annotations

import asyncio
import base64
import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from models.detections import Detections
from models.letterbox import Letterbox
from models.masks import Mask, encode_mask_png, encode_rle, paste_mask
from models.prompts import PromptBatch, box_prompts
from models.proposals import prompt_of
from models.settings import MaskSource
from service.backends.base import Array
from service.inference.image_features import ImageFeatures
from service.inference.stage_results import DetectorOutput, ScoredProposals
from service.inference.stages import Stages
from weaksam.formats.polygons import mask_to_polygons
from weaksam.mask_schemas import AnyMask, MaskOptions, PngMask, PolygonMask, RleMask
from weaksam.schemas import DetectOptions

Float32 = npt.NDArray[np.float32]
RenderedMask = tuple[AnyMask | None, float | None]
NO_MASK: RenderedMask = (None, None)


class MaskRenderer:
    """Renders the masks of one request.

    Args:
        stages: runs `sam_decoder` for the masks that need it.
        mask_source: see `models.settings.PostSettings`.
        letterbox: of the segmenter's input.
        features, detector, scored: what the detections came from.
    """

    def __init__(
        self,
        stages: Stages,
        mask_source: MaskSource,
        letterbox: Letterbox,
        features: ImageFeatures,
        detector: DetectorOutput,
        scored: ScoredProposals,
    ) -> None:
        self._stages = stages
        self._mask_source = mask_source
        self._letterbox = letterbox
        self._features = features
        self._detector = detector
        self._scored = scored

    async def render(self, detections: Detections, options: DetectOptions) -> list[RenderedMask]:
        """Return the mask of each detection and its score, in their order."""
        if options.mask_format == "none":
            return [NO_MASK] * len(detections)
        rows = [detections[i : i + 1] for i in range(len(detections))]
        prompts = [self._prompt(row) for row in rows if not self._has_own(row)]
        decoded = []
        if prompts:
            decoded = await self._stages.decode_masks(await self._features.segmenter(), prompts, self._letterbox)
        return await asyncio.to_thread(self._render_all, rows, decoded, options)

    def _has_own(self, row: Detections) -> bool:
        return self._mask_source == "detector" and bool(row.by_detector[0])

    def _by_box(self, row: Detections) -> bool:
        return self._mask_source == "box" or bool(row.by_detector[0])

    def _prompt(self, row: Detections) -> PromptBatch:
        if self._by_box(row):
            return box_prompts(row.boxes_xyxy)
        return prompt_of(self._scored.proposal_set.prompts, int(self._scored.proposals.prompts[row.sources[0]]))

    def _render_all(
        self, rows: Sequence[Detections], decoded: Sequence[tuple[Array, Float32]], options: DetectOptions
    ) -> list[RenderedMask]:
        # One mask at a time: a hundred full-size masks of a large photograph would take gigabytes.
        outputs = iter(decoded)
        rendered: list[RenderedMask] = []
        for row in rows:
            mask_hw, score = self._own(row) if self._has_own(row) else self._decoded(row, *next(outputs))
            rendered.append((encode_mask(mask_hw, options), round(score, 6)))
        return rendered

    def _own(self, row: Detections) -> tuple[Mask, float]:
        logits = self._detector.masks[row.sources[0]].astype(np.float32)
        frame_xyxy = self._letterbox.points_to_image(self._detector.frames_xyxy[row.sources[0]].reshape(2, 2)).ravel()
        inside = logits[logits > 0]
        score = float(np.mean(1 / (1 + np.exp(-inside)))) if len(inside) else 0.0
        return paste_mask(logits, frame_xyxy, self._letterbox.image_hw), score

    def _decoded(self, row: Detections, logits: Array, iou: Float32) -> tuple[Mask, float]:
        level = int(iou.argmax()) if self._by_box(row) else int(self._scored.proposals.levels[row.sources[0]])
        return self._letterbox.mask_to_image(logits[level]), float(iou[level])


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
