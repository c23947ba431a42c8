"""Losses of the classifiers on cases worked out by hand."""

from __future__ import annotations

import math

import pytest
import torch

from models.nets.weaktr import WeakTrOutput
from training.classifier.losses import background_loss, cnn_losses, cut_tiles, lowest_positions, weaktr_losses


def softplus(x: float) -> float:
    return math.log1p(math.exp(x))


def output(class_logits: list[list[float]], coarse: torch.Tensor, fine: torch.Tensor) -> WeakTrOutput:
    return WeakTrOutput(torch.tensor(class_logits), coarse, fine, [])


def test_tiles_come_in_reading_order() -> None:
    maps = torch.arange(16.0).reshape(1, 1, 4, 4)
    assert cut_tiles(maps, 4)[:, 0].tolist() == [
        [[0, 1], [4, 5]],
        [[2, 3], [6, 7]],
        [[8, 9], [12, 13]],
        [[10, 11], [14, 15]],
    ]
    assert torch.equal(cut_tiles(maps, 1), maps)


def test_the_lower_half_of_a_tagged_map_must_say_no() -> None:
    maps = torch.tensor([[[[3.0, 1.0], [-1.0, 2.0]], [[9.0, 9.0], [9.0, 9.0]]]])
    loss = background_loss(maps, torch.tensor([[1.0, 0.0]]), lowest_positions(maps, 0.5))
    assert loss.item() == pytest.approx((softplus(-1) + softplus(1)) / 2)


def test_images_of_nothing_have_no_background_loss_but_a_gradient() -> None:
    maps = torch.ones(1, 2, 2, 2, requires_grad=True)
    loss = background_loss(maps, torch.zeros(1, 2), lowest_positions(maps, 0.5))
    loss.backward()  # type: ignore[no-untyped-call]
    assert (loss.item(), float(maps.grad.abs().sum()) if maps.grad is not None else None) == (0.0, 0.0)


def test_a_share_of_less_than_a_cell_is_the_lowest_cell() -> None:
    maps = torch.tensor([[[[3.0, 1.0], [-1.0, 2.0]]]])
    assert background_loss(maps, torch.ones(1, 1), lowest_positions(maps, 0.2)).item() == pytest.approx(softplus(-1))


def test_the_cnns_loss_adds_up_over_classes() -> None:
    maps = torch.stack([torch.full((2, 2), 2.0), torch.full((2, 2), -1.0)])[None]
    losses = cnn_losses(maps, torch.tensor([[[1.0, 0.0]]]), 1.0, 0.5)
    assert losses["loss_tags"].item() == pytest.approx(softplus(-2) + softplus(-1))
    assert losses["loss_background"].item() == pytest.approx(softplus(2))


def test_what_is_no_object_is_background_and_not_pooled() -> None:
    # The class fires on the bench, left, and the segmenter sees something on the right alone.
    maps = torch.tensor([[[[9.0, -2.0], [9.0, -2.0]]]])
    objectness = torch.tensor([[[[-5.0, 1.0], [-5.0, 1.0]]]])
    losses = cnn_losses(maps, torch.ones(1, 1, 1), 1.0, 0.5, objectness)
    assert losses["loss_tags"].item() == pytest.approx(softplus(2))
    assert losses["loss_background"].item() == pytest.approx(softplus(9))
    without = cnn_losses(maps, torch.ones(1, 1, 1), 1.0, 0.5)
    assert without["loss_tags"].item() < softplus(-8)
    assert without["loss_background"].item() == pytest.approx(softplus(-2))


def test_objects_of_a_mosaic_are_looked_for_in_each_tile() -> None:
    maps = torch.zeros(1, 1, 4, 4)
    objectness = torch.full((1, 1, 4, 4), -9.0)
    objectness[..., :2, :2] = 5.0  # one tile has the only clear object; each of the others still pools half of itself
    losses = cnn_losses(maps, torch.ones(1, 4, 1), 1.0, 0.5, objectness)
    assert losses["loss_tags"].item() == pytest.approx(softplus(0))


def test_weaktr_has_one_loss_for_each_branch() -> None:
    coarse = torch.stack([torch.tensor([[4.0, 0.0], [0.0, 0.0]]), torch.full((2, 2), -2.0)])[None]
    fine = torch.stack([torch.full((2, 2), 3.0), torch.zeros(2, 2)])[None]
    losses = weaktr_losses(output([[0.5, -0.5]], coarse, fine), torch.tensor([[[1.0, 0.0]]]), 0.0, 0.5)
    # the average over classes of -log sigmoid(x) where tagged and -log sigmoid(-x) elsewhere; maps pooled by their mean
    assert losses["loss_class_tokens"].item() == pytest.approx((softplus(-0.5) + softplus(-0.5)) / 2)
    assert losses["loss_coarse"].item() == pytest.approx((softplus(-1) + softplus(-2)) / 2)
    assert losses["loss_fine"].item() == pytest.approx((softplus(-3) + softplus(0)) / 2)
    assert losses["loss_background"].item() == pytest.approx(softplus(0))
    sharper = weaktr_losses(output([[0.5, -0.5]], coarse, fine), torch.tensor([[[1.0, 0.0]]]), 1.0, 0.5)
    pooled = 4 * math.exp(4) / (math.exp(4) + 3)
    assert sharper["loss_coarse"].item() == pytest.approx((softplus(-pooled) + softplus(-2)) / 2)


def test_of_four_tiles_tokens_answer_for_all_and_maps_each_for_its_own() -> None:
    tags = torch.tensor([[[1.0, 0.0], [0.0, 0.0], [0.0, 1.0], [0.0, 0.0]]])
    coarse = torch.zeros(1, 2, 4, 4)
    coarse[0, 0, :2, :2] = 5.0  # the first tile's own tag
    losses = weaktr_losses(output([[2.0, 1.0]], coarse, torch.zeros(1, 2, 4, 4)), tags, 0.0, 0.5)
    assert losses["loss_class_tokens"].item() == pytest.approx((softplus(-2) + softplus(-1)) / 2)
    assert losses["loss_coarse"].item() == pytest.approx((softplus(-5) + 7 * softplus(0)) / 8)
