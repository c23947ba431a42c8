"""Where a prompt map says to ask."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from models.letterbox import Letterbox
from models.prompting.peaks import Peaks
from models.prompting.prompt_map import prompt_map_points
from models.prompting.prompts import DecodedBatch, PromptBatch
from models.prompting.proposals import propose, run_proposing
from models.settings import PromptSettings

SETTINGS = PromptSettings(map_min_value=0.2, map_max_count=8, mask_levels=(0,), max_prompts=9)
WIDE = Letterbox((40, 80), 80)  # its lower half is padding


def map_of(*cells: tuple[int, int, float]) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
    heat = np.full((1, 1, 10, 10), 0.01, np.float32)
    for row, column, value in cells:
        heat[0, 0, row, column] = value
    return heat


def test_maxima_come_highest_first_and_never_from_the_padding() -> None:
    heat = map_of((1, 1, 0.5), (1, 2, 0.4), (3, 7, 0.9), (4, 4, 0.1), (8, 2, 0.99))
    points = prompt_map_points(heat, WIDE, SETTINGS)
    assert points is not None
    assert points.tolist() == [[60, 28], [12, 12]]


def test_a_segmenter_without_a_map_or_settings_without_maxima_leave_it_to_the_grid() -> None:
    assert prompt_map_points(None, WIDE, SETTINGS) is None
    assert prompt_map_points(map_of((1, 1, 0.5)), WIDE, replace(SETTINGS, map_max_count=0)) is None


def decode(batch: PromptBatch) -> DecodedBatch:
    """A small mask of middling quality around every point: nothing is covered."""
    boxes = np.concatenate([batch.coords[:, 0] - 2, batch.coords[:, 0] + 2], axis=1)[:, None].repeat(3, axis=1)
    quality = np.full((len(batch), 3), 0.6, np.float32)
    return DecodedBatch(boxes.astype(np.float32), quality, quality)


def test_the_map_is_asked_in_place_of_the_grid_and_its_best_points_when_prompts_are_few() -> None:
    none = Peaks(np.zeros((0, 2), np.float32), np.zeros(0, np.int64), np.zeros(0, np.float32))
    points = np.stack([np.arange(12) * 5 + 2, np.full(12, 20)], axis=1).astype(np.float32)
    mapped = run_proposing(propose(none, (40, 80), SETTINGS, points), decode, (16,))
    assert np.array_equal(mapped.prompts[0].coords[:, 0], points[:9])
    assert sum(map(len, mapped.prompts)) == 9
    gridded = run_proposing(propose(none, (40, 80), replace(SETTINGS, max_prompts=999), None), decode, (16,))
    assert sum(map(len, gridded.prompts)) == 8 * 8 + 16 * 16
