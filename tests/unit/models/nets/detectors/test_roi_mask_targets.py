"""What the mask head learns against what the service draws of it."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from models.masks.drawing import paste_mask
from models.nets.detectors.rcnn_parts import roi_mask_targets
from weaksam.formats.polygons import mask_iou


@pytest.mark.parametrize("box", [(10, 12, 30, 32), (10, 12, 24, 40), (9.5, 12.25, 30.5, 32.25)])
def test_a_target_is_pasted_back_where_it_was(box: tuple[float, ...]) -> None:
    ys, xs = np.mgrid[:48, :48] + 0.5
    mask = np.hypot(xs - 20, ys - 22) < 8
    inside = (xs > box[0]) & (xs < box[2]) & (ys > box[1]) & (ys < box[3])
    boxes = torch.tensor([[0.0, 0.0, 48.0, 48.0], box])
    masks = torch.from_numpy(np.stack([np.zeros_like(mask), mask]).astype(np.uint8))
    targets = roi_mask_targets(masks, boxes, torch.tensor([0, 1]), 28)
    assert not targets[0].any()
    pasted = paste_mask(targets[1].numpy() - 0.5, boxes[1].numpy(), mask.shape)
    assert mask_iou(pasted, mask & inside) > 0.95
