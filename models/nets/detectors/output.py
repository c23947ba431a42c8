"""What every detector gives for one image, and how its boxes and scores become detections."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torchvision.ops import nms

from models.boxes import MIN_BOX_SIDE_PX
from models.nets.detectors.settings import NetSettings


class DetectorTensors(NamedTuple):
    """D detections of one image, best first.

    Attributes:
        boxes_xyxy: [D,4] in input pixels.
        labels: [D] from 0.
        scores: [D].
        masks: logits over the frames: [D,28,28] (Mask R-CNN), [D,H/4,W/4] (Mask2Former), or [D,0,0].
        mask_frames_xyxy: [D,4] in input pixels: the boxes (Mask R-CNN), or the whole input (Mask2Former).
    """

    boxes_xyxy: torch.Tensor
    labels: torch.Tensor
    scores: torch.Tensor
    masks: torch.Tensor
    mask_frames_xyxy: torch.Tensor


class Best(NamedTuple):
    """The best boxes [D,4] with labels [D] from 0 and scores [D]; ``rows`` [D] are those that they came from."""

    boxes_xyxy: torch.Tensor
    labels: torch.Tensor
    scores: torch.Tensor
    rows: torch.Tensor


def best_detections(
    boxes_xyxy: torch.Tensor, scores: torch.Tensor, settings: NetSettings, image_hw: Sequence[int]
) -> Best:
    """Return the best of boxes [R,4] with scores [R,C], after suppression class by class, best first.

    Args:
        boxes_xyxy: in input pixels; a box with a side under a pixel is none.
        scores: a class that is not allowed has 0.
        settings: smallest score, overlap of two boxes of one class, and number of detections.
        image_hw: size of the input.
    """
    large = ((boxes_xyxy[:, 2:] - boxes_xyxy[:, :2]) >= MIN_BOX_SIDE_PX).all(dim=1)
    row, label = torch.where((scores > settings.min_score) & large[:, None])
    boxes, found = boxes_xyxy[row], scores[row, label]
    # Each class in a place of its own: one suppression for all.
    apart = boxes + (label * (image_hw[0] + image_hw[1])).to(boxes.dtype)[:, None]
    kept = nms(apart, found, settings.nms_iou)[: settings.max_detections]
    return Best(boxes[kept], label[kept], found[kept], row[kept])
