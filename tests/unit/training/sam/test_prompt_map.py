"""What the prompt map is taught, and what its loss asks for."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from training.sam.prompt_map import UNKNOWN_WEIGHT, innermost_point, prompt_map_loss, prompt_map_targets

SIDE = 80


def masks_of(*windows: tuple[int, int, int, int]) -> np.ndarray[tuple[int, int, int], np.dtype[np.bool_]]:
    masks = np.zeros((len(windows), SIDE, SIDE), np.bool_)
    for mask, (left, top, right, bottom) in zip(masks, windows, strict=True):
        mask[top:bottom, left:right] = True
    return masks


def test_the_innermost_point_of_an_angle_is_in_its_thicker_arm() -> None:
    (mask,) = masks_of((10, 10, 70, 16))
    mask[10:60, 10:30] = True
    x, y = innermost_point(mask)
    assert 17 < x < 23
    assert 17 < y < 53


def test_each_object_has_its_peak_and_large_ones_a_wide_hill() -> None:
    heat, weight = prompt_map_targets(masks_of((0, 0, 56, 56), (64, 64, 72, 72)), SIDE, complete=True)
    assert sorted(zip(*np.nonzero(heat == 1), strict=True)) == [(3, 3), (8, 8)]
    assert heat[3, 4] > 1.5 * heat[8, 9]
    assert (weight == 1).all()


def test_masks_of_twice_the_side_give_the_same_targets() -> None:
    masks = masks_of((8, 8, 40, 40))
    double = masks.repeat(2, axis=1).repeat(2, axis=2)
    for ours, theirs in zip(*(prompt_map_targets(m, SIDE, complete=False) for m in (masks, double)), strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-6)


def test_what_is_not_annotated_hardly_counts_as_ground() -> None:
    _, weight = prompt_map_targets(masks_of((16, 16, 32, 32)), SIDE, complete=False)
    assert (weight[2:4, 2:4] == 1).all()
    assert weight[7, 7] == np.float32(UNKNOWN_WEIGHT)


def test_the_loss_wants_peaks_high_and_known_ground_low() -> None:
    heat, weight = prompt_map_targets(masks_of((16, 16, 40, 40)), SIDE, complete=False)
    target, weights = torch.from_numpy(heat)[None], torch.from_numpy(weight)[None]

    def loss(logits: torch.Tensor) -> float:
        return prompt_map_loss(logits, target, weights).item()

    flat = torch.full_like(target, -4.0)
    right = torch.where(target == 1, torch.tensor(4.0), flat)
    assert loss(right) < 0.02 * loss(flat)
    inside, outside = right.clone(), right.clone()
    inside[0, 2, 4], outside[0, 7, 7] = 4.0, 4.0
    assert loss(inside) > loss(outside) > loss(right)
    # far from the peak the hill is nearly 0, so that only the weights differ
    assert loss(outside) - loss(right) == pytest.approx(UNKNOWN_WEIGHT * 4.0, rel=0.1)
