"""Mixing of pixels over scales: what it sees, and what it does to a decoder's masks."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from models.nets.compact_sam import CompactSam, build_compact_sam
from models.nets.many_prompts import decode_many
from models.nets.scale_mixing import ScaleMixing
from training.sam.initial_weights import load_initial_weights
from training.sam.trained import load_compact_sam

SIDE = 64
COORDS = torch.tensor([[[9.0, 30.0], [0.0, 0.0]], [[8.0, 16.0], [40.0, 32.0]]])
LABELS = torch.tensor([[1.0, -1.0], [2.0, 3.0]])


@pytest.fixture
def sam() -> CompactSam:
    torch.manual_seed(0)
    return build_compact_sam("mobilenetv2_100", SIDE).eval()


@pytest.fixture
def packed() -> torch.Tensor:
    return torch.randn(1, 512, SIDE // 8, SIDE // 8, generator=torch.Generator().manual_seed(1))


def answer(net: CompactSam, packed: torch.Tensor) -> torch.Tensor:
    with torch.inference_mode():
        return net.decode(packed, COORDS, LABELS)[0]


def test_an_untrained_mixing_has_no_say_and_a_trained_one_has(sam: CompactSam, packed: torch.Tensor) -> None:
    with torch.inference_mode():
        without = decode_many(sam.prompt_encoder, sam.mask_decoder, packed, COORDS, LABELS)[0]
    torch.testing.assert_close(answer(sam, packed), without)
    nn.init.normal_(sam.mixing.up.weight)
    assert ((answer(sam, packed) - without).abs().amax(dim=(1, 2, 3)) > 0.01).all()


def test_each_prompt_is_mixed_for_itself(sam: CompactSam, packed: torch.Tensor) -> None:
    nn.init.normal_(sam.mixing.up.weight)
    with torch.inference_mode():
        alone = [sam.decode(packed, COORDS[i : i + 1], LABELS[i : i + 1])[0] for i in range(len(COORDS))]
    torch.testing.assert_close(answer(sam, packed), torch.cat(alone), rtol=1e-4, atol=1e-3)


def test_a_pixel_sees_others_that_are_far_from_it() -> None:
    torch.manual_seed(0)
    mixing = ScaleMixing(8, 8, 8)
    nn.init.normal_(mixing.up.weight)
    maps = torch.randn(1, 8, 32, 32)
    changed = maps.clone()
    changed[..., 16, 16] += 5
    with torch.inference_mode():
        moved = (mixing(changed) - mixing(maps)).abs().amax(dim=1)[0] > 1e-6
    rows = moved.any(dim=1).nonzero()
    assert rows.max() - rows.min() >= 20  # of stride 8: 160 pixels


def test_a_checkpoint_of_before_loads_and_answers_as_before(
    sam: CompactSam, packed: torch.Tensor, tmp_path: Path
) -> None:
    before = {key: value for key, value in sam.state_dict().items() if not key.startswith("mixing.")}
    save_file(before, tmp_path / "sam.safetensors")
    expected = answer(sam, packed)
    loaded = load_compact_sam(tmp_path / "sam.safetensors", "mobilenetv2_100", SIDE)
    torch.testing.assert_close(answer(loaded, packed), expected)
    other = build_compact_sam("mobilenetv2_100", SIDE).eval()
    load_initial_weights(other, tmp_path / "sam.safetensors")
    torch.testing.assert_close(answer(other, packed), expected)
