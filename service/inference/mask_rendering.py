"""The masks of an answer: the detector's own, those behind proposals, or new ones from box prompts."""

from __future__ import annotations

import asyncio
import base64
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
from service.inference.stage_results import DetectorAnswer, Features, ScoredProposals
from service.inference.stages import Stages
from weaksam.schemas import MaskFormat, PngMask, RleMask

Float32 = npt.NDArray[np.float32]
DrawnMask = tuple[RleMask | PngMask | None, float | None]
NO_MASK: DrawnMask = (None, None)


class MaskDrawer:
    """Draws the masks of one request.

    Args:
        stages: runs `sam_decoder` for the masks that need it.
        mask_source: see `models.settings.PostSettings`.
        letterbox: of the segmenter's input.
        features, answer, scored: what the detections came from.
    """

    def __init__(
        self,
        stages: Stages,
        mask_source: MaskSource,
        letterbox: Letterbox,
        features: Features,
        answer: DetectorAnswer,
        scored: ScoredProposals,
    ) -> None:
        self._stages = stages
        self._mask_source = mask_source
        self._letterbox = letterbox
        self._features = features
        self._answer = answer
        self._scored = scored

    async def draw(self, found: Detections, mask_format: MaskFormat) -> list[DrawnMask]:
        """The mask of each detection and its score, in their order."""
        if mask_format == "none":
            return [NO_MASK] * len(found)
        rows = [found[i : i + 1] for i in range(len(found))]
        prompts = [self._prompt(row) for row in rows if not self._has_own(row)]
        decoded = await self._stages.decode_masks(self._features.embedding, prompts, self._letterbox)
        return await asyncio.to_thread(self._draw_all, rows, decoded, mask_format)

    def _has_own(self, row: Detections) -> bool:
        return self._mask_source == "detector" and bool(row.by_detector[0])

    def _by_box(self, row: Detections) -> bool:
        return self._mask_source == "box" or bool(row.by_detector[0])

    def _prompt(self, row: Detections) -> PromptBatch:
        if self._by_box(row):
            return box_prompts(row.boxes_xyxy)
        picture = self._scored.picture
        return prompt_of(picture.asked, int(picture.proposals.prompts[row.sources[0]]))

    def _draw_all(
        self, rows: Sequence[Detections], decoded: Sequence[tuple[Array, Float32]], mask_format: MaskFormat
    ) -> list[DrawnMask]:
        # One mask at a time: a hundred full-size masks of a large photograph would take gigabytes.
        answers = iter(decoded)
        drawn: list[DrawnMask] = []
        for row in rows:
            mask_hw, score = self._own(row) if self._has_own(row) else self._decoded(row, *next(answers))
            drawn.append((_encode_mask(mask_hw, mask_format), round(score, 6)))
        return drawn

    def _own(self, row: Detections) -> tuple[Mask, float]:
        logits = self._answer.masks[row.sources[0]].astype(np.float32)
        frame_xyxy = self._letterbox.points_to_image(self._answer.frames_xyxy[row.sources[0]].reshape(2, 2)).ravel()
        inside = logits[logits > 0]
        score = float(np.mean(1 / (1 + np.exp(-inside)))) if len(inside) else 0.0
        return paste_mask(logits, frame_xyxy, self._letterbox.image_hw), score

    def _decoded(self, row: Detections, logits: Array, iou: Float32) -> tuple[Mask, float]:
        level = int(iou.argmax()) if self._by_box(row) else int(self._scored.picture.proposals.levels[row.sources[0]])
        return self._letterbox.mask_to_image(logits[level]), float(iou[level])


def _encode_mask(mask_hw: Mask, mask_format: MaskFormat) -> RleMask | PngMask:
    size_hw = (mask_hw.shape[0], mask_hw.shape[1])
    if mask_format == "png":
        return PngMask(size=size_hw, png_base64=base64.b64encode(encode_mask_png(mask_hw)).decode("ascii"))
    return RleMask(size=size_hw, counts=encode_rle(mask_hw)["counts"])
