from __future__ import annotations

import pytest
import torch
from torch.nn import functional

from models.nets.drop_block import BLOCK_CELLS, ConcreteDropBlock, ReversedGradient
from models.nets.wsod import RoiHead

ROIS, CHANNELS, SIDE = 400, 4, 7


def block_of(probability_logit: float, share: float = 0.3) -> ConcreteDropBlock:
    """A drop block that gives every cell the same probability."""
    block = ConcreteDropBlock(CHANNELS, share)
    last = block.hides[2]
    assert isinstance(last, torch.nn.Conv2d)
    assert last.bias is not None
    with torch.no_grad():
        last.weight.zero_()
        last.bias.fill_(probability_logit)
    return block.train()


@pytest.mark.parametrize("share", [0.1, 0.3, 0.6])
@pytest.mark.parametrize(("logit", "of_the_bound"), [(20.0, 1.0), (0.0, 0.5), (-20.0, 0.0)])
def test_as_much_is_dropped_as_the_probabilities_say(share: float, logit: float, of_the_bound: float) -> None:
    torch.manual_seed(0)
    kept = block_of(logit, share).draw_kept(torch.zeros(ROIS, CHANNELS, SIDE, SIDE)).detach()
    centre = of_the_bound * share / BLOCK_CELLS**2
    inner = kept[:, 0, 1:-1, 1:-1]  # cells that a block can reach from all nine places
    assert 1 - inner.mean().item() == pytest.approx(1 - (1 - centre) ** BLOCK_CELLS**2, abs=0.02)
    assert 1 - kept.mean().item() <= share + 0.02


def test_what_is_dropped_are_whole_blocks_of_ones_and_zeros() -> None:
    torch.manual_seed(0)
    dropped = 1 - block_of(0.0).draw_kept(torch.zeros(ROIS, CHANNELS, SIDE, SIDE)).detach().round()
    assert set(dropped.flatten().tolist()) == {0.0, 1.0}
    # opening with a block changes nothing: each dropped cell lies in a dropped block, cut only by the border
    edged = functional.pad(dropped, (1, 1, 1, 1), value=1.0)
    eroded = -functional.max_pool2d(-edged, BLOCK_CELLS, stride=1)
    assert torch.equal(functional.max_pool2d(eroded, BLOCK_CELLS, stride=1, padding=1), dropped)


def test_what_is_kept_is_scaled_up_for_each_roi_by_itself() -> None:
    torch.manual_seed(0)
    features = torch.ones(ROIS, CHANNELS, SIDE, SIDE)
    dropped = block_of(0.0)(features)
    zero = dropped == 0
    assert zero.any()
    assert not zero.all()
    torch.testing.assert_close(dropped.mean(dim=(1, 2, 3)), torch.ones(ROIS), rtol=1e-4, atol=1e-4)


def test_the_network_learns_against_the_loss_and_the_features_with_it() -> None:
    """Both sides of one loss: the sign of the drop network's gradient is turned, that of the features is not."""

    def gradients(reverse: bool) -> tuple[torch.Tensor, torch.Tensor]:
        torch.manual_seed(1)
        block = ConcreteDropBlock(CHANNELS, 0.3).train()
        features = torch.rand(ROIS, CHANNELS, SIDE, SIDE, requires_grad=True)
        torch.manual_seed(2)
        if reverse:
            dropped = block(features)
        else:
            kept = block.draw_kept(features.detach())
            dropped = features * kept * (SIDE**2 / kept.sum(dim=(2, 3), keepdim=True))
        dropped.square().mean().backward()
        last = block.hides[2]
        assert isinstance(last, torch.nn.Conv2d)
        assert last.weight.grad is not None
        assert features.grad is not None
        return last.weight.grad, features.grad

    (against, with_it), (plain, also_with_it) = gradients(True), gradients(False)
    assert plain.abs().max() > 0
    torch.testing.assert_close(against, -plain)
    torch.testing.assert_close(with_it, also_with_it)


def test_a_step_of_the_drop_network_raises_the_loss() -> None:
    """It finds the one corner that carries the signal."""
    torch.manual_seed(0)
    features = torch.rand(200, CHANNELS, SIDE, SIDE) * 0.1
    features[:, 0, :3, :3] += 1
    block = ConcreteDropBlock(CHANNELS, 0.3).train()
    optimizer = torch.optim.Adam(block.parameters(), lr=0.02)

    def signal_kept() -> torch.Tensor:
        return block.draw_kept(features)[:, 0, :3, :3].mean()

    before = signal_kept().item()
    for _ in range(60):
        optimizer.zero_grad()
        # a detector's loss that falls with the signal that it sees
        loss = -block(features)[:, 0, :3, :3].mean()
        loss.backward()
        optimizer.step()
    assert signal_kept().item() < before - 0.03


def test_the_reversal_is_the_identity_forwards() -> None:
    values = torch.randn(3, requires_grad=True)
    reversed_ = ReversedGradient.apply(values)
    assert torch.equal(reversed_, values)
    reversed_.sum().backward()
    assert values.grad is not None
    assert values.grad.tolist() == [-1, -1, -1]


def test_it_rests_outside_training_and_without_a_share() -> None:
    features = torch.randn(5, CHANNELS, SIDE, SIDE)
    assert block_of(20.0).eval()(features) is features
    assert block_of(20.0, share=0.0)(features) is features


def test_mist_drops_in_training_and_serves_whole_features() -> None:
    torch.manual_seed(0)
    head = RoiHead(channels=16, classes=3, method="mist", drop_share=0.9)
    pooled = torch.randn(6, 16, SIDE, SIDE)
    without = RoiHead(channels=16, classes=3, method="mist", drop_share=0.0)
    without.load_state_dict(head.state_dict())
    torch.testing.assert_close(head.eval().embed_pooled(pooled), without.eval().embed_pooled(pooled))
    torch.manual_seed(1)
    with_drop = head.train().embed_pooled(pooled)
    torch.manual_seed(1)
    assert not torch.allclose(with_drop, without.train().embed_pooled(pooled))


def test_the_head_of_a_first_release_run_is_todays_oicr() -> None:
    names = set(RoiHead(channels=16, classes=3).state_dict())
    layers = ["reduce", "layers.1", "layers.4", "of_classes", "of_proposals", "deltas"]
    layers += [f"refinements.{k}" for k in range(3)]
    assert names == {f"{layer}.{part}" for layer in layers for part in ("weight", "bias")}
