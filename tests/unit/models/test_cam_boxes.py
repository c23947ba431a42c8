"""Boxes of the parts of class activation maps."""

from __future__ import annotations

import numpy as np
import pytest

from models.prompting.cam_boxes import cam_boxes
from models.settings import PromptSettings
from weaksam.errors import UserError


def boxes_of(
    maps_kchw: np.ndarray, *values: float, valid_hw: tuple[int, int] = (80, 80), kinds: tuple[str, ...] = ("coarse",)
) -> list[list[float]]:
    settings = PromptSettings(cam_box_values=values)
    classes = range(maps_kchw.shape[1])
    found = cam_boxes(maps_kchw.astype(np.float32), classes, 80, valid_hw, settings, kinds)
    return [list(map(float, box)) for box in found]


@pytest.fixture
def neighbours() -> np.ndarray:
    """Two things of one class, joined by a bridge of half their height, on a map of 10 x 10 cells of 8 pixels."""
    map_hw = np.zeros((10, 10))
    map_hw[2:5, 1:4] = map_hw[2:5, 6:9] = 1.0
    map_hw[3, 4:6] = 0.5
    return map_hw[None, None]


def test_a_high_value_separates_what_a_low_one_joins(neighbours: np.ndarray) -> None:
    apart = [[8, 16, 32, 40], [48, 16, 72, 40]]
    assert boxes_of(neighbours, 0.4) == [[8, 16, 72, 40]]
    assert boxes_of(neighbours, 0.7) == apart
    assert boxes_of(neighbours, 0.4, 0.7) == [[8, 16, 72, 40], *apart], "the largest first"


def test_equal_boxes_come_once_and_specks_never(neighbours: np.ndarray) -> None:
    assert len(boxes_of(neighbours, 0.7, 0.9)) == 2
    neighbours[0, 0, 9, 9] = 1.0
    assert len(boxes_of(neighbours, 0.7)) == 2, "one cell is no thing"


def test_boxes_end_where_the_image_does() -> None:
    map_hw = np.zeros((1, 1, 10, 10))
    map_hw[0, 0, 4:, 2:4] = 1.0
    assert boxes_of(map_hw, 0.5, valid_hw=(44, 80)) == [[16, 32, 32, 44]]


def test_flat_maps_and_those_of_single_heads_have_none(neighbours: np.ndarray) -> None:
    assert boxes_of(np.ones((1, 1, 10, 10)), 0.5) == []
    assert boxes_of(neighbours, 0.5, kinds=("cross_8_0",)) == []
    assert boxes_of(neighbours) == []


def test_values_that_cut_nothing_are_refused() -> None:
    with pytest.raises(UserError, match="cam_box_values: are \\[0.5, 1.0\\]"):
        PromptSettings(cam_box_values=(0.5, 1.0))
