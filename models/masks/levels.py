"""Levels: the masks that one prompt may mean, such as a part of a thing, the thing, and a group of things."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from models.letterbox import Letterbox
from models.masks.colours import draw_by_colours
from models.masks.drawing import mask_box
from models.masks.specks import NO_CLICKS, without_specks
from models.prompting.prompts import BACKGROUND, FOREGROUND, PromptBatch
from weaksam.arrays import Float32, ImageU8, Mask


@dataclass(frozen=True)
class Look:
    """What the segmenter sees: an image, or a part of it.

    Attributes:
        letterbox: of the segmenter's input.
        square_hwc_u8: that input, [S,S,3].
        colour_weight: see `models.settings.PostSettings`.
    """

    letterbox: Letterbox
    square_hwc_u8: ImageU8
    colour_weight: float


@dataclass(frozen=True)
class Level:
    """One mask that a prompt may mean.

    Attributes:
        logits_hw: [h,h] over the segmenter's input, at any stride.
        predicted_iou: the mask decoder's own estimate.
        look: what the segmenter saw.
        on_xy, off_xy: [N,2] points of the prompt, on the object and beside it, in pixels of the segmenter's input.
    """

    logits_hw: npt.NDArray[np.floating]
    predicted_iou: float
    look: Look
    on_xy: Float32 = field(default_factory=lambda: NO_CLICKS)
    off_xy: Float32 = field(default_factory=lambda: NO_CLICKS)

    def draw(self) -> Mask:
        """Return the mask [H,W] of the whole image, without specks and small holes that nobody clicked."""
        look = self.look
        cells = np.float32(len(self.logits_hw) / look.letterbox.side_px)
        clicks = cells * self.on_xy, cells * self.off_xy
        logits_hw = without_specks(self.logits_hw, *clicks)
        if not look.colour_weight:
            return look.letterbox.mask_to_image(logits_hw)
        return draw_by_colours(logits_hw, look.square_hwc_u8, look.letterbox, look.colour_weight, *clicks)

    def box_xyxy_px(self) -> Float32:
        """Return the mask's box [4] in pixels of the image, to a cell of the logits; zeros if it is empty."""
        letterbox = self.look.letterbox
        cells_xyxy = mask_box(self.logits_hw > 0)
        stride_px = letterbox.side_px / len(self.logits_hw)
        boxes_xyxy_px = letterbox.boxes_to_image((cells_xyxy[None] * stride_px).astype(np.float32))
        return boxes_xyxy_px.reshape(4) if cells_xyxy.any() else cells_xyxy


def levels_of(
    logits: npt.NDArray[np.floating], predicted_iou: npt.NDArray[np.floating], look: Look, prompt: PromptBatch
) -> list[Level]:
    """Return the levels of one prompt from what the mask decoder gives for it, [M,h,h] and [M]."""
    clicks = [prompt.coords[0][prompt.labels[0] == kind] for kind in (FOREGROUND, BACKGROUND)]
    return [Level(*level, look, *clicks) for level in zip(logits, predicted_iou.tolist(), strict=True)]


def best_level(levels: Sequence[Level]) -> Level:
    """Return the level of highest predicted IoU, the first of equals."""
    return max(levels, key=lambda level: level.predicted_iou)
