from __future__ import annotations

import tracemalloc

import numpy as np

from weaksam.formats.polygons import join_rings, mask_iou


def test_iou_of_masks() -> None:
    mask_hw = np.zeros((4, 6), bool)
    mask_hw[1, 2] = mask_hw[1, 3] = mask_hw[2, 3] = True
    assert mask_iou(mask_hw, np.roll(mask_hw, 1, axis=1)) == 1 / 5
    assert mask_iou(np.zeros((2, 2), bool), np.zeros((2, 2), bool)) == 0


def test_the_rings_of_a_large_photograph_are_joined_in_little_memory() -> None:
    rng = np.random.default_rng(0)
    rings = [rng.integers(0, 4000, (3000, 2)), rng.integers(0, 4000, (3000, 2))]
    distances = np.abs(rings[0][:, None] - rings[1]).sum(axis=2)
    near, start = np.unravel_index(distances.argmin(), distances.shape)
    del distances
    tracemalloc.start()
    joined = join_rings(rings)
    peak_bytes = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert joined[near : near + 2].tolist() == [rings[0][near].tolist(), rings[1][start].tolist()]
    assert peak_bytes < 40e6  # all distances take 72 MB
