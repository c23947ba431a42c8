"""Inside the detector: with some classes allowed it answers as if it had never known any other."""

from __future__ import annotations

import copy

import pytest
import torch
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from torch import nn

from models.nets.detectors.rcnn import Rcnn, build_rcnn
from models.nets.detectors.rcnn_parts import RcnnSettings

CLASSES = 5
SETTINGS = RcnnSettings(
    backbone="mobilenetv2_050",
    channels=16,
    hidden=32,
    anchor_sides_px=((8,), (16,), (32,)),
    roi_scale_px=32,
    mask_channels=8,
    mask_layers=1,
    frozen_norm=False,
    rois=16,
    proposals=20,
    max_detections=6,
)


@pytest.fixture(scope="module")
def net() -> Rcnn:
    torch.manual_seed(0)
    net = build_rcnn(SETTINGS, CLASSES).eval()
    with torch.no_grad():
        net.box_head.logits.weight.normal_(0, 3)  # scores that differ
    return net


def without_others(net: Rcnn, allowed: list[int]) -> Rcnn:
    """The network with the allowed classes alone."""
    smaller = copy.deepcopy(net)
    rows = [0, *(1 + label for label in allowed)]
    smaller.box_head.logits = nn.Linear(SETTINGS.hidden, len(rows))
    smaller.box_head.logits.load_state_dict(
        {"weight": net.box_head.logits.weight[rows], "bias": net.box_head.logits.bias[rows]}
    )
    return smaller


@given(seed=st.integers(0, 2**31), allowed=st.sets(st.integers(0, CLASSES - 1), max_size=CLASSES))
@hypothesis_settings(max_examples=12, deadline=None)
def test_classes_that_are_not_allowed_take_part_in_nothing(net: Rcnn, seed: int, allowed: set[int]) -> None:
    generator = torch.Generator().manual_seed(seed)
    image = torch.randint(0, 256, (1, 64, 96, 3), generator=generator, dtype=torch.uint8)
    chosen = sorted(allowed)
    mask = torch.tensor([float(label in allowed) for label in range(CLASSES)])
    with torch.inference_mode():
        found = net.detect(image, mask)
        alone = without_others(net, chosen).detect(image, torch.ones(len(chosen)))
    assert len(found.labels) <= SETTINGS.max_detections
    assert [chosen[label] for label in alone.labels.tolist()] == found.labels.tolist()
    for mine, others in (
        (found.boxes_xyxy, alone.boxes_xyxy),
        (found.scores, alone.scores),
        (found.masks, alone.masks),
    ):
        torch.testing.assert_close(mine, others, rtol=1e-4, atol=1e-4)
