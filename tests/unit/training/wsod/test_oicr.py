"""Losses on cases worked out by hand."""

from __future__ import annotations

import math
from functools import partial

import numpy as np
import pytest
import torch

from models.nets.wsod import WsodOutput
from models.postprocess import apply_deltas
from training.wsod.oicr import (
    SeedRule,
    Seeds,
    assign_targets,
    box_loss,
    encode_deltas,
    mine_seeds,
    refinement_loss,
    seed_prior,
    tag_supervised_losses,
    wsddn_loss,
)

OICR = SeedRule(score_power=1.0, prior_power=0.0, cam_power=0.0, weigh_by_score=True)
BOXES = torch.tensor([[0.0, 0, 10, 10], [1, 0, 11, 10], [50, 50, 60, 60], [0, 0, 30, 30]])


def test_seeds_are_the_best_proposals_of_the_tags_alone() -> None:
    scores = torch.tensor([[0.1, 0.9, 0.2], [0.3, 0.1, 0.9], [0.2, 0.8, 0.1], [0.0, 0.0, 0.0]])
    seeds = mine_seeds(scores, torch.ones(4, 3), BOXES, torch.tensor([1.0, 1.0, 0.0]), OICR)
    assert seeds.labels.tolist() == [0, 1]
    assert seeds.boxes_xyxy.tolist() == [BOXES[1].tolist(), BOXES[0].tolist()]
    assert seeds.weights.tolist() == pytest.approx([0.3, 0.9])


@pytest.mark.parametrize(("weigh_by_score", "weight"), [(True, 0.5), (False, 1.0)])
def test_the_prior_chooses_but_does_not_weigh(weigh_by_score: bool, weight: float) -> None:
    scores = torch.tensor([[0.6], [0.5], [0.1], [0.0]])
    rule = SeedRule(score_power=1.0, prior_power=1.0, cam_power=0.0, weigh_by_score=weigh_by_score)
    prior = seed_prior(torch.tensor([0.1, 1.0, 1.0, 1.0]), torch.rand(4, 1), rule)
    seeds = mine_seeds(scores, prior, BOXES, torch.ones(1), rule)
    assert seeds.boxes_xyxy.tolist() == [BOXES[1].tolist()]
    assert seeds.weights.tolist() == [weight]


def test_of_equal_scores_the_box_that_fits_the_classes_map_is_chosen() -> None:
    rule = SeedRule(score_power=0.3, prior_power=1.0, cam_power=2.0, weigh_by_score=False)
    cam_overlap = torch.tensor([[0.2, 0.5], [0.2, 0.1], [0.1, 0.1], [0.4, 0.1]])
    prior = seed_prior(torch.tensor([0.5, 0.5, 0.5, 0.25]), cam_overlap, rule)
    assert prior[:, 0].tolist() == pytest.approx([0.02, 0.02, 0.005, 0.04])
    seeds = mine_seeds(torch.full((4, 2), 0.3), prior, BOXES, torch.ones(2), rule)
    assert seeds.boxes_xyxy.tolist() == [BOXES[3].tolist(), BOXES[0].tolist()]


def test_targets_follow_the_nearest_seed() -> None:
    seeds = Seeds(BOXES[[0, 2]], torch.tensor([4, 7]), torch.tensor([0.25, 0.5]))
    targets = assign_targets(seeds, BOXES)
    # IoU of the first two boxes is 90 / 110; that of the large one with the first seed 100 / 900.
    assert targets.labels.tolist() == [5, 5, 8, 0]
    assert targets.weights.tolist() == [0.25, 0.25, 0.5, 0.25]


def test_a_picture_without_tags_is_all_background() -> None:
    seeds = Seeds(torch.zeros(0, 4), torch.zeros(0, dtype=torch.long), torch.zeros(0))
    targets = assign_targets(seeds, BOXES)
    assert targets.labels.tolist() == [0, 0, 0, 0]
    assert targets.weights.tolist() == [1, 1, 1, 1]


def test_wsddn_loss_by_hand() -> None:
    wsddn = torch.tensor([[0.5, 0.1], [0.25, 0.0]])
    expected = -math.log(0.75) - math.log(0.9)
    assert wsddn_loss(wsddn, torch.tensor([1.0, 0.0])).item() == pytest.approx(expected, rel=1e-5)


def test_refinement_loss_by_hand() -> None:
    logits = torch.tensor([[0.0, math.log(3)], [0.0, 0.0]])
    targets = assign_targets(Seeds(BOXES[:1], torch.tensor([0]), torch.tensor([0.5])), BOXES[[0, 2]])
    expected = (0.5 * -math.log(0.75) + 0.5 * -math.log(0.5)) / 2
    assert refinement_loss(logits, targets).item() == pytest.approx(expected, rel=1e-5)


def test_deltas_are_the_inverse_of_their_application() -> None:
    generator = torch.Generator().manual_seed(0)
    corners = torch.rand(2, 6, 2, 2, generator=generator).sort(dim=2).values * 100
    start, wanted = (c.reshape(6, 4) + torch.tensor([0.0, 0, 5, 5]) for c in corners)
    moved = apply_deltas(start.numpy(), encode_deltas(start, wanted).numpy())
    np.testing.assert_allclose(moved, wanted.numpy(), rtol=1e-3, atol=1e-2)


def test_box_loss_counts_positives_alone() -> None:
    targets = assign_targets(Seeds(BOXES[:1], torch.tensor([0]), torch.ones(1)), BOXES)
    deltas = encode_deltas(BOXES, BOXES[:1].expand(4, 4))[:, None]
    assert box_loss(deltas, BOXES, targets).item() == pytest.approx(0, abs=1e-6)
    deltas[2:] = 100  # background
    assert box_loss(deltas, BOXES, targets).item() == pytest.approx(0, abs=1e-6)
    deltas[0] += 2
    assert box_loss(deltas, BOXES, targets).item() == pytest.approx(4 * 1.5 / 4)


def test_every_head_gets_a_gradient_and_no_stage_reaches_into_the_one_before() -> None:
    wsddn = torch.full((4, 2), 0.2, requires_grad=True)
    refined = [torch.zeros(4, 3, requires_grad=True) for _ in range(3)]
    deltas = torch.ones(4, 1, 4, requires_grad=True)
    tags = torch.tensor([1.0, 0.0])
    mine = partial(mine_seeds, prior=torch.ones(4, 2), boxes=BOXES, tags=tags, rule=OICR)
    losses = tag_supervised_losses(WsodOutput(wsddn, refined, deltas), BOXES, tags, mine)
    assert set(losses) == {"loss_wsddn", "loss_refine_1", "loss_refine_2", "loss_refine_3", "loss_box"}
    losses["loss_refine_2"].backward(retain_graph=True)  # type: ignore[no-untyped-call]
    assert wsddn.grad is None
    assert refined[0].grad is None
    assert refined[1].grad is not None
    assert refined[1].grad.abs().sum() > 0
    torch.stack(list(losses.values())).sum().backward()  # type: ignore[no-untyped-call]
    assert all(tensor.grad is not None for tensor in (wsddn, *refined, deltas))
