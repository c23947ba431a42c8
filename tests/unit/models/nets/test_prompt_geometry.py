"""Maps of prompts: their values where these can be worked out by hand, and what they do to a decoder's masks."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from models.nets.compact_sam import CompactSam, build_compact_sam
from models.nets.many_prompts import decode_many
from models.nets.prompt_geometry import MAPS, draw_prompts
from training.sam.initial_weights import load_initial_weights
from training.sam.trained import load_compact_sam

SIDE = 64
POINT, BOX, CLICKS = 0, 1, 2
COORDS = torch.tensor([[[9.0, 30.0], [0.0, 0.0]], [[8.0, 16.0], [40.0, 32.0]], [[1.0, 2.0], [51.0, 32.0]]])
LABELS = torch.tensor([[1.0, -1.0], [2.0, 3.0], [1.0, 0.0]])


@pytest.fixture
def sam() -> CompactSam:
    torch.manual_seed(0)
    return build_compact_sam("mobilenetv2_100", SIDE).eval()


def answer(net: CompactSam, packed: torch.Tensor, *, half: bool = False) -> torch.Tensor:
    with torch.inference_mode():
        return decode_many(
            net.prompt_encoder, net.mask_decoder, packed, COORDS, LABELS, geometry=net.geometry, half=half
        )[0]


def draw_at(x: int, y: int) -> torch.Tensor:
    """Return the six maps [P,6] of all prompts in the cell of two pixels that has its centre at x, y."""
    return draw_prompts(COORDS, LABELS, torch.arange(SIDE / 2) * 2 + 1)[:, :, y // 2, x // 2]


def test_a_box_is_drawn_by_distance_depth_and_ellipse() -> None:
    in_the_middle, at_a_side, outside = draw_at(23, 23)[BOX], draw_at(9, 23)[BOX], draw_at(51, 23)[BOX]
    # 7 of 16 px deep, 15 px of 32 from the left: the sides are further than the maps reach.
    torch.testing.assert_close(in_the_middle[:3], torch.tensor([1.0, 1.0, 1 - (1 / 16) ** 2 - (1 / 8) ** 2]))
    torch.testing.assert_close(at_a_side[:3], torch.tensor([1 / 4, 4 / 32, 1 - (15 / 16) ** 2 - (1 / 8) ** 2]))
    torch.testing.assert_close(outside[:3], torch.tensor([-1.0, -1.0, -1.0]))


def test_points_are_drawn_by_kind_and_distance() -> None:
    near, beside = draw_at(9, 29), draw_at(51, 31)
    torch.testing.assert_close(near[POINT, 3:], torch.tensor([1 - 1 / 64, 1 - 1 / 48**2, 0.0]))
    torch.testing.assert_close(beside[CLICKS, 3:], torch.tensor([0.0, 0.0, 1 - 1 / 64]))


def test_what_a_prompt_has_not_is_zero() -> None:
    maps = draw_prompts(COORDS, LABELS, torch.arange(SIDE / 2) * 2 + 1)
    assert maps.shape == (3, MAPS, SIDE // 2, SIDE // 2)
    assert not maps[[POINT, CLICKS], :3].any()
    assert not maps[BOX, 3:].any()


def test_an_untrained_geometry_has_no_say_and_a_trained_one_has(sam: CompactSam) -> None:
    packed = torch.randn(1, 512, SIDE // 8, SIDE // 8)
    with torch.inference_mode():
        without = decode_many(sam.prompt_encoder, sam.mask_decoder, packed, COORDS, LABELS)[0]
    torch.testing.assert_close(answer(sam, packed), without)
    for weights in sam.geometry.parameters():
        before = answer(sam, packed)
        nn.init.normal_(weights)
        assert ((answer(sam, packed) - before).abs().amax(dim=(1, 2, 3)) > 0.01).all()


def test_the_logits_of_a_box_can_end_at_its_sides(sam: CompactSam) -> None:
    """The bias alone of the map of distances is enough, whatever the tokens say."""
    nn.init.constant_(sam.geometry.level_bias[0], 1e4)
    cells = answer(sam, torch.randn(1, 512, SIDE // 8, SIDE // 8))[BOX] > 0
    expected = torch.zeros(SIDE // 2, SIDE // 2, dtype=torch.bool)
    expected[8:16, 4:20] = True
    assert (cells == expected).all()


def test_half_the_side_is_every_second_row_and_column(sam: CompactSam) -> None:
    for weights in sam.geometry.parameters():
        nn.init.normal_(weights)
    packed = torch.randn(1, 512, SIDE // 8, SIDE // 8)
    torch.testing.assert_close(answer(sam, packed, half=True), answer(sam, packed)[:, :, ::2, ::2])


def test_a_checkpoint_of_before_loads_and_answers_as_before(sam: CompactSam, tmp_path: Path) -> None:
    before = {key: value for key, value in sam.state_dict().items() if not key.startswith("geometry.")}
    save_file(before, tmp_path / "sam.safetensors")
    packed = torch.randn(1, 512, SIDE // 8, SIDE // 8)
    expected = answer(sam, packed)
    torch.testing.assert_close(
        answer(load_compact_sam(tmp_path / "sam.safetensors", "mobilenetv2_100", SIDE), packed), expected
    )
    other = build_compact_sam("mobilenetv2_100", SIDE).eval()
    load_initial_weights(other, tmp_path / "sam.safetensors")
    torch.testing.assert_close(answer(other, packed), expected)
