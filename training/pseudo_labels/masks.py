"""Pseudo masks: the segmenter's masks for pseudo ground truth boxes (WeakSAM's WSIS, arXiv 2402.14812)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from models.boxes import enlarge_boxes
from models.bundle import SAM_ENCODER
from models.masks.levels import Level, Look, best_level, levels_of
from models.prompting.prompts import box_prompts, split_prompts
from training.data.tagged import TaggedImage
from training.proposals.graph_runner import GraphRunner
from weaksam.arrays import Float32
from weaksam.formats.run_lengths import encode_rle, rle_box
from weaksam.mask_schemas import Rle
from weaksam.schemas import Box


@dataclass(frozen=True)
class PseudoMask:
    """A mask of the image's size, and the segmenter's own estimate of its IoU with the truth."""

    rle: Rle
    predicted_iou: float

    @property
    def box_xyxy(self) -> Box:
        """The mask's tight box in image pixels."""
        return rle_box(self.rle)


def draw_masks(runner: GraphRunner, image: TaggedImage, boxes_xyxy: Float32, margin: float = 0.0) -> list[PseudoMask]:
    """Return a mask for each box [N,4] in image pixels: the mask level of highest predicted IoU.

    The segmenter is prompted with boxes that are enlarged at each side by ``margin``, a share of their own. If it
    sees nothing in a box, the mask is the box itself, with predicted IoU 0: trainers refuse an object without pixels.
    """
    letterbox, square_bhwc_u8 = runner.letterboxed(image, SAM_ENCODER)
    # Weak boxes often hold a part alone, and colours would hold its mask to that part: docs/experiments/segmenter.md.
    look = Look(letterbox, square_bhwc_u8[0], colour_weight=0.0)
    asked_xyxy = enlarge_boxes(letterbox.boxes_to_input(boxes_xyxy), margin, letterbox.valid_hw)
    prompts = box_prompts(asked_xyxy)
    masks: list[PseudoMask] = []
    for run in split_prompts(prompts, runner.bundle.prompts.buckets_of("onnxruntime")):
        logits, iou = runner.decode(image, run, ("logits", "iou"))
        # one mask at a time: all masks of a large photograph at full size would take gigabytes
        masks += [
            _mask_of(best_level(levels_of(levels, estimates, look, prompts)), box_xyxy)
            for levels, estimates, box_xyxy in zip(logits, iou, boxes_xyxy[len(masks) :], strict=False)
        ]
    return masks


def _mask_of(level: Level, box_xyxy: Float32) -> PseudoMask:
    mask_hw = level.draw()
    if mask_hw.any():
        return PseudoMask(encode_rle(mask_hw), round(level.predicted_iou, 6))
    x0, y0 = np.floor(box_xyxy[:2]).astype(int)
    x1, y1 = np.ceil(box_xyxy[2:]).astype(int)
    box_hw = mask_hw.copy()
    box_hw[y0:y1, x0:x1] = True
    return PseudoMask(encode_rle(box_hw), 0.0)
