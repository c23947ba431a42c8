"""Generated shapes that wear pieces of a photograph."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pytest

from models.masks.drawing import mask_box
from training.sam.images.copy_paste import CutOut
from training.sam.images.pasted_shapes import photographed_shape

LONGEST_PX = 300.0
# A colour that no generated surface has in this mixture: red and blue in one, hardly any green.
PINK = (230, 5, 225)


def shapes(photograph_hwc_u8: npt.NDArray[np.uint8], seeds: Sequence[int]) -> list[CutOut]:
    return [photographed_shape(np.random.default_rng(seed), photograph_hwc_u8, LONGEST_PX) for seed in seeds]


def pink_share(thing: CutOut) -> float:
    """Return the share of a shape's pixels whose colour is that of the photograph, darker or lighter."""
    red, green, blue = thing.rgb_hwc_u8[thing.mask_hw].astype(float).T
    return float(np.mean((green < 0.1 * red) & (np.abs(red - blue) < 0.1 * red + 3)))


def test_parts_are_covered_with_pieces_of_the_photograph() -> None:
    photograph = np.full((60, 80, 3), PINK, np.uint8)
    shares = np.array([pink_share(thing) for thing in shapes(photograph, range(60))])
    assert (shares > 0.95).any(), "some wear nothing else"
    assert (shares < 0.05).any(), "some are painted alone"
    assert ((shares > 0.2) & (shares < 0.8)).any(), "some have parts of both kinds"


def test_shapes_are_of_all_sizes_and_many_are_long() -> None:
    photograph = np.random.default_rng(0).integers(0, 256, (60, 80, 3), np.uint8)
    things = shapes(photograph, range(80))
    areas_px = np.array([thing.mask_hw.sum() for thing in things])
    sides_px = [mask_box(thing.mask_hw).reshape(2, 2) for thing in things]
    lengths_px = np.array([float(np.ptp(corners, axis=0).max()) for corners in sides_px])
    assert lengths_px.max() < LONGEST_PX + 3
    assert np.median(lengths_px**2 / areas_px) > 3, "a disc has 1.3, a square 1"
    assert areas_px.max() > 8 * areas_px.min()


@pytest.mark.parametrize("size_hw", [(5, 7), (300, 4)])
def test_a_photograph_may_be_smaller_than_the_shape(size_hw: tuple[int, int]) -> None:
    for thing in shapes(np.full((*size_hw, 3), 200, np.uint8), range(10)):
        assert thing.mask_hw.any()
        assert thing.rgb_hwc_u8.shape == (*thing.mask_hw.shape, 3)
