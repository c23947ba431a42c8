"""Inside the detector: with some classes allowed it answers as if it had never known any other."""

from __future__ import annotations

import copy
from dataclasses import replace
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from torch import nn

from models.nets.detectors.dfine import DFine, build_dfine
from models.nets.detectors.mask2former import Mask2Former, build_mask2former
from models.nets.detectors.rcnn import Rcnn, build_rcnn
from models.nets.detectors.settings import DFineSettings, Mask2FormerSettings, NetSettings, RcnnSettings

CLASSES = 5
SETTINGS = NetSettings(backbone="mobilenetv2_050", frozen_norm=False, max_detections=6)
RCNN_SIZES = RcnnSettings(
    channels=16,
    hidden=32,
    anchor_sides_px=((8,), (16,), (32,)),
    roi_scale_px=32,
    mask_channels=8,
    mask_layers=1,
    rois=16,
    proposals=20,
)
# Fewer queries than positions, so that classes compete for them.
SIZES = DFineSettings(queries=8, channels=32, hidden=32, heads=4, decoder_layers=2, denoising=0)

MASK_SIZES = Mask2FormerSettings(
    queries=8, channels=32, hidden=32, heads=4, encoder_layers=1, decoder_layers=2, points=16
)


@pytest.fixture(scope="module")
def rcnn() -> Rcnn:
    torch.manual_seed(0)
    net = build_rcnn(SETTINGS, RCNN_SIZES, CLASSES).eval()
    with torch.no_grad():
        net.box_head.logits.weight.normal_(0, 3)  # scores that differ
    return net


@pytest.fixture(scope="module")
def dfine() -> DFine:
    torch.manual_seed(0)
    # Without a threshold something is found of every class, so that there is always something to compare.
    net = build_dfine(replace(SETTINGS, min_score=0.0), SIZES, CLASSES)
    with torch.no_grad():
        for head in (net.model.enc_score_head, *net.model.decoder.class_embed):
            head.weight.normal_(0, 1)
    return net.eval()


@pytest.fixture(scope="module")
def mask2former() -> Mask2Former:
    torch.manual_seed(0)
    net = build_mask2former(SETTINGS, MASK_SIZES, CLASSES).eval()
    with torch.no_grad():
        net.class_head.weight.normal_(0, 1)
    return net


def narrowed(layer: nn.Linear, rows: list[int]) -> nn.Linear:
    """The layer with some of its outputs."""
    smaller = copy.deepcopy(layer)
    smaller.weight, smaller.bias = nn.Parameter(layer.weight[rows]), nn.Parameter(layer.bias[rows])
    return smaller


def rcnn_without_others(net: Rcnn, allowed: list[int]) -> Rcnn:
    """The network with the allowed classes alone."""
    smaller = copy.deepcopy(net)
    smaller.box_head.logits = narrowed(net.box_head.logits, [0, *(1 + label for label in allowed)])
    return smaller


def dfine_without_others(net: DFine, allowed: list[int]) -> DFine:
    smaller = copy.deepcopy(net)
    smaller.model.enc_score_head = narrowed(net.model.enc_score_head, allowed)
    heads = net.model.decoder.class_embed
    smaller.model.decoder.class_embed = nn.ModuleList(narrowed(head, allowed) for head in heads)
    smaller._class_heads = [smaller.model.enc_score_head, *smaller.model.decoder.class_embed]
    return smaller


def mask2former_without_others(net: Mask2Former, allowed: list[int]) -> Mask2Former:
    smaller = copy.deepcopy(net)
    smaller.class_head = narrowed(net.class_head, [*allowed, CLASSES])
    return smaller


def image_of(seed: int) -> torch.Tensor:
    return torch.randint(0, 256, (1, 64, 96, 3), generator=torch.Generator().manual_seed(seed), dtype=torch.uint8)


def mask_of(allowed: set[int]) -> torch.Tensor:
    return torch.tensor([float(label in allowed) for label in range(CLASSES)])


@pytest.mark.parametrize(
    ("network", "without_others"), [("rcnn", rcnn_without_others), ("mask2former", mask2former_without_others)]
)
@given(seed=st.integers(0, 2**31), allowed=st.sets(st.integers(0, CLASSES - 1), max_size=CLASSES))
@hypothesis_settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_classes_that_are_not_allowed_take_part_in_nothing(
    request: pytest.FixtureRequest, network: str, without_others: Any, seed: int, allowed: set[int]
) -> None:
    net, chosen = request.getfixturevalue(network), sorted(allowed)
    with torch.inference_mode():
        found = net.detect(image_of(seed), mask_of(allowed))
        alone = without_others(net, chosen).detect(image_of(seed), torch.ones(len(chosen)))
    assert len(found.labels) <= SETTINGS.max_detections
    assert [chosen[label] for label in alone.labels.tolist()] == found.labels.tolist()
    for mine, others in (
        (found.boxes_xyxy, alone.boxes_xyxy),
        (found.scores, alone.scores),
        (found.masks, alone.masks),
    ):
        torch.testing.assert_close(mine, others, rtol=1e-4, atol=1e-4)


@given(seed=st.integers(0, 2**31), allowed=st.sets(st.integers(0, CLASSES - 1), min_size=1, max_size=CLASSES))
@hypothesis_settings(max_examples=12, deadline=None)
def test_classes_that_are_not_allowed_take_no_query(dfine: DFine, seed: int, allowed: set[int]) -> None:
    chosen = sorted(allowed)
    with torch.inference_mode():
        found = dfine.detect(image_of(seed), mask_of(allowed))
        alone = dfine_without_others(dfine, chosen).detect(image_of(seed), torch.ones(len(chosen)))
    assert 0 < len(found.labels) <= SETTINGS.max_detections
    assert [chosen[label] for label in alone.labels.tolist()] == found.labels.tolist()
    torch.testing.assert_close(found.boxes_xyxy, alone.boxes_xyxy, rtol=1e-4, atol=1e-3)
    torch.testing.assert_close(found.scores, alone.scores, rtol=1e-4, atol=1e-4)


def test_with_no_class_allowed_nothing_is_found_and_the_next_request_knows_all_classes(dfine: DFine) -> None:
    everything = torch.ones(CLASSES)
    with torch.inference_mode():
        before = dfine.detect(image_of(1), everything)
        assert not len(dfine.detect(image_of(1), torch.zeros(CLASSES)).labels)
        after = dfine.detect(image_of(1), everything)
    torch.testing.assert_close(before.scores, after.scores)
