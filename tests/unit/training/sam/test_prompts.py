"""Prompts lie where they should, and corrections where the answer is wrong."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt
import torch

from models.masks.drawing import mask_box
from training.sam.prompts import (
    box_prompt,
    correcting_clicks,
    group_prompt,
    interior_points,
    point_prompt,
    with_clicks,
)


def ring() -> npt.NDArray[np.bool_]:
    """A thin ring: neither its middle nor its box's is part of it."""
    drawn = np.zeros((60, 80), np.uint8)
    cv2.circle(drawn, (40, 30), 20, 1, 2)
    return drawn.astype(bool)


def holds(mask_hw: npt.NDArray[np.bool_], points_xy: npt.NDArray[np.float32]) -> npt.NDArray[np.bool_]:
    x, y = np.floor(points_xy).astype(int).T
    held: npt.NDArray[np.bool_] = mask_hw[y, x]
    return held


def test_points_lie_inside_and_reach_the_edge_of_the_mask() -> None:
    rng, mask = np.random.default_rng(0), np.zeros((40, 40), np.bool_)
    mask[5:35, 5:35] = True
    points = np.concatenate([interior_points(rng, mask, 1) for _ in range(400)])
    assert holds(mask, points).all()
    to_edge_px = np.minimum(points - 5, 35 - points).min(axis=1)
    assert to_edge_px.min() < 1.5
    assert holds(ring(), np.concatenate([interior_points(rng, ring(), 1) for _ in range(100)])).all()


def test_boxes_are_tight_loose_and_jittered() -> None:
    rng, mask = np.random.default_rng(0), ring()
    true = mask_box(mask)
    boxes = np.stack([box_prompt(rng, mask)[0].ravel() for _ in range(200)])
    growth = (boxes - true) * np.array([-1, -1, 1, 1])
    assert (np.abs(growth).max(axis=1) == 0).mean() > 0.15
    assert ((growth >= 0).all(axis=1) & (growth > 2).any(axis=1)).mean() > 0.1
    assert ((growth < 0).any(axis=1) & (growth > 0).any(axis=1)).any()
    assert np.abs(growth).max() <= 12


def test_negative_points_of_a_group_lie_beside_the_mask_and_the_first_never_does() -> None:
    rng, mask, negatives = np.random.default_rng(0), ring(), 0
    for _ in range(100):
        coords, labels = group_prompt(rng, mask)
        inside = np.clip(coords, 0, np.array([79, 59]))
        assert labels[0] == 1
        assert np.array_equal(holds(mask, inside), labels == 1)
        negatives += int((labels == 0).sum())
    assert 20 < negatives < 80


def test_a_click_lies_in_the_error_and_says_which_way_it_is_wrong() -> None:
    wanted = torch.zeros(2, 20, 20)
    wanted[:, 4:14, 4:14] = 1
    found = torch.full((2, 20, 20), -5.0)
    found[0, 4:14, 4:10] = 5  # lacks columns 10 to 13
    found[1, 4:19, 4:14] = 5  # rows 14 to 18 are too much
    for draw in torch.linspace(0, 0.999, 17):
        coords, labels = correcting_clicks(found, wanted, draw.expand(2), 2)
        assert labels.tolist() == [[1], [0]]
        (x0, y0), (x1, y1) = (coords[:, 0] / 2).tolist()
        assert 11 <= x0 < 13, "one cell from the edges of the error"
        assert 5 <= y0 < 13
        assert 15 <= y1 < 18
        assert 5 <= x1 < 13


def test_a_line_of_errors_is_clicked_and_a_faultless_answer_gets_a_point_of_the_object() -> None:
    wanted = torch.zeros(2, 20, 20)
    wanted[:, 4:14, 4:14] = 1
    found = 10 * wanted - 5
    found[0, 4:14, 13] = -5
    coords, labels = correcting_clicks(found, wanted, torch.tensor([0.5, 0.5]), 2)
    assert coords[0, 0, 0] == 27
    assert labels.tolist() == [[1], [1]]
    assert wanted[1, int(coords[1, 0, 1] // 2), int(coords[1, 0, 0] // 2)] == 1


def test_a_corrected_point_loses_its_padding_and_a_box_keeps_its_corners() -> None:
    click = (torch.tensor([[[7.0, 8.0]]]), torch.tensor([[0.0]]))
    for prompt, labels in ((point_prompt, [1, 0]), (box_prompt, [2, 3, 0])):
        coords, kinds = (torch.from_numpy(array)[None] for array in prompt(np.random.default_rng(0), ring()))
        corrected, corrected_kinds = with_clicks(coords, kinds, click)
        assert corrected_kinds.tolist() == [labels]
        assert corrected[0, -1].tolist() == [7, 8]
        assert torch.equal(corrected[0, :-1], coords[0, : len(labels) - 1])
