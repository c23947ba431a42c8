"""Query drop for masks, on outputs made by hand."""

from __future__ import annotations

import math

import pytest
import torch
from torch.nn import functional
from transformers import Mask2FormerConfig, TimmBackboneConfig

from models.nets.detectors.mask2former_losses import mask2former_losses
from models.nets.detectors.query_parts import MaskTargets
from models.nets.detectors.settings import DropRule

CONFIG = Mask2FormerConfig(
    backbone_config=TimmBackboneConfig(backbone="resnet18", use_pretrained_backbone=False),
    num_labels=2,
    train_num_points=1024,
)
SURE = 8.0
OUTLIERS = DropRule("absolute", classification=2.0, regression=0.5, rpn=0.0)
LEFT, WIDE, RIGHT = torch.zeros(3, 16, 16).unbind()
LEFT[:, :8], WIDE[:, 10:], RIGHT[:, 12:] = 1, 1, 1
TARGETS = MaskTargets([torch.tensor([0, 1])], [torch.stack([LEFT, RIGHT])])


def logits_of(masks: torch.Tensor) -> torch.Tensor:
    return functional.avg_pool2d(masks[:, None], 4)[None, :, 0] * 2 * SURE - SURE


# The first query agrees with the first object; the second draws more than the other, sure that it is nothing; the third
# is quiet, and rightly so.
CLASSES = torch.tensor([[[SURE, 0.0, 0.0], [0.0, 0.0, SURE], [-9.0, -99.0, SURE]]])
MASKS = torch.cat([logits_of(torch.stack([LEFT, WIDE])), torch.full((1, 1, 4, 4), -SURE)], dim=1)
TERMS = ("loss_class", "loss_mask", "loss_dice")


def test_an_object_that_exceeds_both_thresholds_has_no_weight_and_the_normaliser_counts_it() -> None:
    classes, masks = CLASSES.clone().requires_grad_(), MASKS.clone().requires_grad_()
    losses, matched = mask2former_losses([classes], [masks], TARGETS, CONFIG, OUTLIERS)
    assert matched.objects[0].tolist() == [0, 1]
    assert matched.dropped.tolist() == [False, True]
    torch.autograd.backward(torch.stack([losses[name] for name in TERMS]).sum())
    assert classes.grad is not None
    assert masks.grad is not None
    assert classes.grad[0, 1].abs().sum() == masks.grad[0, 1].abs().sum() == 0
    assert classes.grad[0, 0].abs().sum() > 0
    assert masks.grad[0, 0].abs().sum() > 0
    # Two objects and one query for nothing, which weighs a tenth: the right one's cross entropy, and nearly 0.
    entropy = math.log(1 + 2 * math.exp(-SURE))
    assert losses["loss_class"].item() == pytest.approx(CONFIG.class_weight * entropy / 2.1, rel=1e-3)


def test_before_the_warm_up_ends_nothing_is_dropped() -> None:
    losses, matched = mask2former_losses([CLASSES], [MASKS], TARGETS, CONFIG, None)
    assert not matched.dropped.any()
    assert losses["loss_class"].item() > CONFIG.class_weight * SURE / 2.1
    assert all(losses[name].item() > 0 for name in ("loss_mask", "loss_dice"))


def test_an_image_without_an_object_teaches_that_there_is_nothing() -> None:
    nothing = MaskTargets([torch.zeros(0, dtype=torch.int64)], [torch.zeros(0, 16, 16)])
    losses, matched = mask2former_losses([CLASSES], [MASKS], nothing, CONFIG, OUTLIERS)
    assert len(matched.dropped) == 0
    assert losses["loss_class"].item() > 0
    assert losses["loss_mask"].item() == losses["loss_dice"].item() == 0
