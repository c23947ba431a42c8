"""How prompts, proposals and detections are made: settings that travel in the bundle beside the weights."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

MaskSource = Literal["proposal", "box"]


@dataclass(frozen=True)
class PromptSettings:
    """Settings of peaks, prompts and proposals; names and defaults after WeakSAM (arXiv 2402.14812).

    Attributes:
        peak_window_px: side of the window, in pixels of the graph's input, within which a peak is the highest.
        peak_min_value: least value of a peak in its min-max normalised map.
        peak_max_count: most peaks of one class.
        grid_sides: points per side of each grid round, coarse to fine.
        max_prompts: most prompts spent on one picture.
        prompt_buckets: sizes that a run of `sam_decoder` is padded to, by backend.
        proposal_bucket: multiple to which the number of proposals is padded for `wsod`.
        mask_levels: mask levels of the decoder that become proposals.
        grid_min_iou: least predicted IoU of a grid prompt's mask.
        grid_min_stability: least stability of a grid prompt's mask.
        cover_min_iou: a grid point inside the box of a mask with at least this predicted IoU is not asked.
        cover_max_area_share: ... unless that box takes more than this share of the picture.
        duplicate_iou: of two boxes with a higher IoU, one goes.
        max_proposals: most proposals of one picture.
    """

    peak_window_px: int = 17
    peak_min_value: float = 0.9
    peak_max_count: int = 25
    grid_sides: tuple[int, ...] = (8, 16)
    max_prompts: int = 256
    prompt_buckets: dict[str, tuple[int, ...]] = field(default_factory=lambda: {"onnxruntime": (4, 8)})
    proposal_bucket: int = 32
    mask_levels: tuple[int, ...] = (0, 1, 2)
    grid_min_iou: float = 0.5
    grid_min_stability: float = 0.5
    cover_min_iou: float = 0.8
    cover_max_area_share: float = 0.25
    duplicate_iou: float = 0.9
    max_proposals: int = 150


@dataclass(frozen=True)
class PostSettings:
    """Settings of the step from scored proposals to detections.

    Attributes:
        quality_power: a proposal's predicted IoU to this power multiplies its class scores: the detector says which
            class, the segmenter how well the mask fits a thing (Mask Scoring R-CNN, arXiv 1903.00241).
        nms_iou: of two detections of one class with a higher IoU, the lower score goes.
        mask_source: ``proposal``, the mask that the box came from, or ``box``, a box prompt on the final box.
    """

    quality_power: float = 3.0
    nms_iou: float = 0.3
    mask_source: MaskSource = "proposal"
