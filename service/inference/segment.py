"""Interactive segmentation: points and a box of one object to the masks that they may mean."""

from __future__ import annotations

import asyncio

import numpy as np
import numpy.typing as npt

from models.letterbox import Letterbox
from models.masks import mask_box
from models.prompts import BOTTOM_RIGHT, PADDING, TOP_LEFT, PromptBatch
from service.backends.base import Array
from service.inference.mask_rendering import encode_mask
from weaksam.mask_schemas import MaskOptions
from weaksam.segment_schemas import SegmentMask, SegmentParameters

Float32 = npt.NDArray[np.float32]


def segment_prompt(request: SegmentParameters, letterbox: Letterbox) -> PromptBatch:
    """Return one prompt in pixels of the segmenter's input: the points, then the box.

    A single point without a box is padded, as Segment Anything does it (arXiv 2304.02643); several points run as they
    are.
    """
    points_xy = [[x, y] for x, y, _ in request.points]
    labels = [float(label) for _, _, label in request.points]
    if request.box is not None:
        points_xy += [list(request.box[:2]), list(request.box[2:])]
        labels += [TOP_LEFT, BOTTOM_RIGHT]
    coords = letterbox.points_to_input(np.array(points_xy, np.float32))
    if len(labels) == 1:
        coords, labels = np.concatenate([coords, np.zeros((1, 2), np.float32)]), [*labels, PADDING]
    return PromptBatch(coords[None], np.array([labels], np.float32))


async def render_levels(
    logits: Array, predicted_iou: Float32, letterbox: Letterbox, options: MaskOptions
) -> tuple[SegmentMask, ...]:
    """Return the mask of each level, by falling predicted IoU.

    Args:
        logits: [M,4e,4e] of the segmenter's input.
        predicted_iou: [M].
        letterbox: of that input.
        options: format of the masks.
    """
    order = np.argsort(-predicted_iou, kind="stable")
    levels = ((logits[level], float(predicted_iou[level])) for level in order)
    return tuple(await asyncio.gather(*(asyncio.to_thread(_render, *level, letterbox, options) for level in levels)))


def _render(logits_hw: Array, predicted_iou: float, letterbox: Letterbox, options: MaskOptions) -> SegmentMask:
    mask_hw = letterbox.mask_to_image(logits_hw)
    x0, y0, x1, y1 = mask_box(mask_hw).tolist() if mask_hw.any() else (None,) * 4
    return SegmentMask(
        mask=None if options.mask_format == "none" else encode_mask(mask_hw, options),
        box_xyxy=None if x0 is None else (x0, y0, x1, y1),
        predicted_iou=round(predicted_iou, 6),
    )
