"""MIST's seeds on constructed boxes, and all losses against an independent computation in numpy."""

from __future__ import annotations

import math
from functools import partial

import numpy as np
import numpy.typing as npt
import pytest
import torch

from models.nets.wsod import RoiHead, WsodOutput
from models.postprocess import apply_deltas
from training.wsod.config import MistSettings
from training.wsod.mist import mine_many_seeds, mist_loss_weights, mist_losses
from training.wsod.oicr import SeedRule, assign_targets, box_loss, box_supervised_losses, encode_deltas, wsddn_loss

Float64 = npt.NDArray[np.float64]

BY_SCORE = SeedRule(score_power=1.0, prior_power=0.0, cam_power=0.0, weigh_by_score=True)
ALL = MistSettings(seed_share=1.0)
# 0 and 1 overlap by 90 / 110, 0 and 2 by 25 / 175, 3 lies far off
BOXES = torch.tensor([[0.0, 0, 10, 10], [1, 0, 11, 10], [5, 5, 15, 15], [50, 50, 60, 60]])
ONE_TAG = torch.tensor([1.0, 0.0])


def seeds_of(scores: list[float], settings: MistSettings, rule: SeedRule = BY_SCORE) -> list[int]:
    """Which of BOXES become seeds of the first class, in their order."""
    columns = torch.tensor([[score, 0.9] for score in scores])
    seeds = mine_many_seeds(columns, torch.ones_like(columns), BOXES, ONE_TAG, rule, settings)
    assert set(seeds.labels.tolist()) == {0}
    return [int((box == BOXES).all(dim=1).nonzero()[0, 0]) for box in seeds.boxes_xyxy]


@pytest.mark.parametrize(
    ("scores", "expected"),
    [
        pytest.param([0.9, 0.8, 0.7, 0.6], [0, 2, 3], id="what-overlaps-a-better-seed-goes"),
        pytest.param([0.5, 0.8, 0.1, 0.6], [1, 3, 2], id="the-best-comes-first"),
        pytest.param([0.5, 0.5, 0.5, 0.5], [0, 2, 3], id="of-equals-the-first"),
    ],
)
def test_seeds_are_kept_greedily(scores: list[float], expected: list[int]) -> None:
    assert seeds_of(scores, ALL) == expected


def test_a_proposal_that_a_dropped_one_overlaps_can_still_be_a_seed() -> None:
    # 2 overlaps the dropped 1 by 30 / 170, and the seed 0 by 25 / 175
    assert seeds_of([0.9, 0.8, 0.7, 0.1], MistSettings(seed_share=1.0, seed_iou=0.15)) == [0, 2, 3]


@pytest.mark.parametrize(("share", "count"), [(0.15, 1), (0.5, 2), (0.75, 3), (1.0, 4)])
def test_seeds_come_from_the_best_share_and_there_is_always_one(share: float, count: int) -> None:
    apart = torch.tensor([[0.0, 0, 9, 9], [20, 0, 29, 9], [40, 0, 49, 9], [60, 0, 69, 9]])
    scores = torch.tensor([[0.1], [0.4], [0.3], [0.2]])
    seeds = mine_many_seeds(scores, torch.ones(4, 1), apart, torch.ones(1), BY_SCORE, MistSettings(seed_share=share))
    assert seeds.weights.tolist() == pytest.approx([0.4, 0.3, 0.2, 0.1][:count])


def test_one_in_a_hundred_and_fifteen_share_is_exact() -> None:
    boxes = torch.arange(100)[:, None] * 20 + torch.tensor([0.0, 0, 9, 9])
    seeds = mine_many_seeds(
        torch.rand(100, 1, generator=torch.Generator().manual_seed(0)),
        torch.ones(100, 1),
        boxes,
        torch.ones(1),
        BY_SCORE,
        MistSettings(),
    )
    assert len(seeds.labels) == 15


def test_of_two_tags_on_one_proposal_the_better_gets_it() -> None:
    scores = torch.tensor([[0.2, 0.9]] * 4)
    seeds = mine_many_seeds(scores, torch.ones(4, 2), BOXES, torch.ones(2), BY_SCORE, ALL)
    assert assign_targets(seeds, BOXES).labels.tolist() == [2, 2, 2, 2]


def test_without_tags_all_is_background() -> None:
    seeds = mine_many_seeds(torch.rand(4, 2), torch.ones(4, 2), BOXES, torch.zeros(2), BY_SCORE, ALL)
    assert assign_targets(seeds, BOXES).labels.tolist() == [0, 0, 0, 0]


def test_the_prior_ranks_and_does_not_weigh() -> None:
    rule = SeedRule(score_power=0.0, prior_power=1.0, cam_power=0.0, weigh_by_score=True)
    prior = torch.tensor([[0.1], [0.9], [0.2], [0.3]])
    scores = torch.tensor([[0.8], [0.3], [0.6], [0.5]])
    seeds = mine_many_seeds(scores, prior, BOXES, torch.ones(1), rule, ALL)
    assert sorted(seeds.weights.tolist()) == pytest.approx([0.3, 0.5, 0.6])


def _reference_losses(
    wsddn: Float64, refined: list[Float64], deltas: Float64, tags: Float64, settings: MistSettings
) -> dict[str, float]:
    """Every term written out in numpy, proposal by proposal."""
    boxes = BOXES.numpy().astype(np.float64)
    whole = wsddn.sum(axis=0)
    losses = {"loss_wsddn": float(-(tags * np.log(whole) + (1 - tags) * np.log(1 - whole)).sum())}
    previous = wsddn
    for k, logits in enumerate(refined):
        seeds = []
        for label in np.flatnonzero(tags):
            order = sorted(range(len(boxes)), key=lambda p: -previous[p, label])
            chosen: list[int] = []
            for p in order[: max(1, int(len(boxes) * settings.seed_share))]:
                if all(_iou(boxes[p], boxes[q]) < settings.seed_iou for q in chosen):
                    chosen.append(p)
            seeds += [(p, label, previous[p, label]) for p in chosen]
        seeds.sort(key=lambda seed: -seed[2])
        probabilities = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
        entropy = regression = 0.0
        for p in range(len(boxes)):
            nearest = max(seeds, key=lambda seed: _iou(boxes[p], boxes[seed[0]]))
            is_positive = _iou(boxes[p], boxes[nearest[0]]) >= 0.5
            entropy -= nearest[2] * np.log(probabilities[p, nearest[1] + 1 if is_positive else 0])
            if is_positive:
                regression += nearest[2] * _smooth_l1(deltas[p, k] - _encoded(boxes[p], boxes[nearest[0]]))
        losses[f"loss_refine_{k + 1}"] = entropy / len(boxes)
        losses[f"loss_box_{k + 1}"] = regression / len(boxes)
        previous = probabilities[:, 1:]
    return losses


def _iou(a: Float64, b: Float64) -> float:
    width, height = min(a[2], b[2]) - max(a[0], b[0]), min(a[3], b[3]) - max(a[1], b[1])
    inside = max(width, 0.0) * max(height, 0.0)
    return float(inside / ((a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - inside))


def _encoded(start: Float64, wanted: Float64) -> Float64:
    sides, wanted_sides = start[2:] - start[:2], wanted[2:] - wanted[:2]
    shift = ((wanted[:2] + wanted[2:]) - (start[:2] + start[2:])) / 2 / sides
    return np.concatenate([10 * shift, 5 * np.log(wanted_sides / sides)])


def _smooth_l1(difference: Float64) -> float:
    size = np.abs(difference)
    return float(np.where(size < 1, size**2 / 2, size - 0.5).sum())


def losses_of(output: WsodOutput, tags: torch.Tensor, settings: MistSettings) -> dict[str, torch.Tensor]:
    mine = partial(mine_many_seeds, prior=torch.ones(4, 2), boxes=BOXES, tags=tags, rule=BY_SCORE, settings=settings)
    return mist_losses(output, BOXES, tags, mine)


@pytest.mark.parametrize("settings", [ALL, MistSettings(seed_share=0.5, seed_iou=0.1)])
@pytest.mark.parametrize("tags", [(1.0, 0.0), (1.0, 1.0)])
def test_losses_agree_with_numpy(settings: MistSettings, tags: tuple[float, float]) -> None:
    rng = np.random.default_rng(3)
    wsddn = rng.random((4, 2)) / 5
    refined = [rng.normal(size=(4, 3)) for _ in range(3)]
    deltas = rng.normal(size=(4, 3, 4))
    expected = _reference_losses(wsddn, refined, deltas, np.array(tags), settings)
    output = WsodOutput(
        torch.from_numpy(wsddn).float(),
        [torch.from_numpy(r).float() for r in refined],
        torch.from_numpy(deltas).float(),
    )
    losses = losses_of(output, torch.tensor(tags), settings)
    assert {name: loss.item() for name, loss in losses.items()} == pytest.approx(expected, rel=1e-4)


def test_the_first_refinement_counts_three_times() -> None:
    output = WsodOutput(torch.rand(4, 2) / 5, [torch.zeros(4, 3) for _ in range(3)], torch.ones(4, 3, 4))
    losses = losses_of(output, ONE_TAG, ALL)
    weights = mist_loss_weights(MistSettings())
    assert {name: weights.get(name, 1.0) for name in losses} == {
        "loss_wsddn": 1.0,
        **{f"loss_{part}_{k}": 3.0 if k == 1 else 1.0 for part in ("refine", "box") for k in (1, 2, 3)},
    }


def test_each_regressor_learns_from_its_own_stage() -> None:
    output = WsodOutput(
        torch.rand(4, 2) / 5, [torch.zeros(4, 3) for _ in range(3)], torch.ones(4, 3, 4).requires_grad_()
    )
    losses = losses_of(output, ONE_TAG, ALL)
    losses["loss_box_2"].backward()  # type: ignore[no-untyped-call]
    assert output.deltas.grad is not None
    touched = output.deltas.grad.abs().sum(dim=(0, 2))
    assert touched[1] > 0
    assert touched[[0, 2]].tolist() == [0, 0]


def test_the_twin_trains_every_regressor() -> None:
    output = WsodOutput(
        torch.rand(4, 2) / 5, [torch.zeros(4, 3) for _ in range(3)], torch.ones(4, 3, 4).requires_grad_()
    )
    box_supervised_losses(output, BOXES, ONE_TAG, BOXES[:1], torch.zeros(1).long())["loss_box"].backward()  # type: ignore[no-untyped-call]
    assert output.deltas.grad is not None
    assert (output.deltas.grad.abs().sum(dim=(0, 2)) > 0).all()


def test_the_loss_of_several_regressors_is_their_mean() -> None:
    targets = assign_targets(
        mine_many_seeds(torch.eye(4)[:, :1], torch.ones(4, 1), BOXES, torch.ones(1), BY_SCORE, ALL), BOXES
    )
    deltas = torch.randn(4, 3, 4, generator=torch.Generator().manual_seed(1))
    each = [box_loss(deltas[:, k : k + 1], BOXES, targets).item() for k in range(3)]
    assert box_loss(deltas, BOXES, targets).item() == pytest.approx(sum(each) / 3)


def test_at_test_the_regressors_are_averaged() -> None:
    from models.nets.wsod import build_wsod

    torch.manual_seed(0)
    net = build_wsod("mobilenetv2_100", classes=2, method="mist").eval()
    layer = net.head.deltas
    assert layer is not None
    wanted = encode_deltas(BOXES[:1], BOXES[1:2])[0]
    with torch.no_grad():
        layer.weight.zero_()
        layer.bias.copy_(torch.cat([wanted - 1, wanted, wanted + 1]))
        scores, deltas = net.score(torch.randn(1, 128, 8, 8), BOXES[None, :1])
    assert scores.shape == (1, 1, 2)
    np.testing.assert_allclose(apply_deltas(BOXES[:1].numpy(), deltas[0, :, 0].numpy()), BOXES[1:2].numpy(), atol=1e-4)


def test_wsddn_scores_are_the_two_softmaxes_and_padding_has_no_say() -> None:
    torch.manual_seed(0)
    head = RoiHead(channels=16, classes=3, method="wsddn").eval()
    vectors = torch.randn(4, 384)
    with torch.no_grad():
        of_classes, of_proposals = head.of_classes(vectors).numpy(), head.of_proposals(vectors[:3]).numpy()
        scores = head.scores(vectors[None], torch.tensor([[1.0, 1, 1, 0]]))[0].numpy()
    over_classes = np.exp(of_classes[:3]) / np.exp(of_classes[:3]).sum(axis=1, keepdims=True)
    over_proposals = np.exp(of_proposals) / np.exp(of_proposals).sum(axis=0)
    np.testing.assert_allclose(scores[:3], over_classes * over_proposals, rtol=1e-5)
    assert not scores[3].any()


def test_wsddn_trains_on_the_picture_alone() -> None:
    torch.manual_seed(0)
    head = RoiHead(channels=16, classes=2, method="wsddn")
    output = head(torch.zeros(5, 384))
    assert (output.refined, output.deltas.shape) == ([], (5, 0, 4))
    with torch.no_grad():
        head.of_classes.bias.copy_(torch.tensor([math.log(3), 0.0]))
    # over five equal proposals the picture's scores are the softmax of the classes: 3/4 and 1/4
    loss = wsddn_loss(head(torch.zeros(5, 384)).wsddn, ONE_TAG)
    assert loss.item() == pytest.approx(-2 * math.log(0.75), rel=1e-4)
