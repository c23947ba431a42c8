"""How well boxes fit a class's activation map."""

from __future__ import annotations

import numpy as np
import pytest

from training.proposals.cam_overlap import cam_overlaps

SIDE_PX, CELLS = 64, 16
SURE = 30.0  # of a logit: what is covered is covered whole


def logits_of(*boxes_in_cells: tuple[int, int, int, int]) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
    """Return maps [1,C,16,16] of classes that cover one box each, and nothing else."""
    maps = np.full((1, len(boxes_in_cells), CELLS, CELLS), -SURE, np.float32)
    for logits_hw, (x0, y0, x1, y1) in zip(maps[0], boxes_in_cells, strict=True):
        logits_hw[y0:y1, x0:x1] = SURE
    return maps


@pytest.mark.parametrize(
    ("box_xyxy_px", "expected"),
    [
        pytest.param((8, 16, 40, 32), 1.0, id="the whole"),
        pytest.param((8, 16, 24, 32), 1 / 2, id="a half of it"),
        pytest.param((8, 16, 40, 48), 1 / 2, id="as much beside it"),
        pytest.param((10, 16, 42, 32), 30 / 34, id="between cells"),
        pytest.param((44, 40, 60, 60), 0.0, id="elsewhere"),
        pytest.param((0, 0, 64, 64), 512 / 4096, id="everything"),
    ],
)
def test_the_overlap_is_the_iou_with_what_the_class_covers(
    box_xyxy_px: tuple[int, int, int, int], expected: float
) -> None:
    boxes = np.array([box_xyxy_px], np.float32)
    found = cam_overlaps(logits_of((2, 4, 10, 8)), boxes, SIDE_PX, (SIDE_PX, SIDE_PX), ["coarse"])
    assert found.tolist() == [[pytest.approx(expected, abs=1e-6)]]


def test_a_place_that_may_be_the_class_counts_by_its_probability() -> None:
    maps = logits_of((2, 4, 10, 8))
    maps[0, 0, 4:8, 6:10] = np.log(1 / 3)  # a quarter
    boxes = np.array([[8, 16, 24, 32]], np.float32)
    found = cam_overlaps(maps, boxes, SIDE_PX, (SIDE_PX, SIDE_PX), ["coarse"])
    assert found[0, 0] == pytest.approx(16 / (16 + 16 / 4))


def test_each_class_has_its_own_map_and_padding_shows_none() -> None:
    maps = logits_of((0, 0, 4, 4), (8, 8, 12, 16))
    boxes = np.array([[0, 0, 16, 16], [32, 32, 48, 48]], np.float32)
    found = cam_overlaps(maps, boxes, SIDE_PX, (48, SIDE_PX), ["coarse"])
    assert found == pytest.approx(np.eye(2), abs=1e-6)


def test_attention_is_not_taken_for_logits() -> None:
    maps = np.concatenate([np.ones_like(logits_of((0, 0, 4, 4))), logits_of((0, 0, 4, 4))])
    boxes = np.array([[0, 0, 16, 16]], np.float32)
    found = cam_overlaps(maps, boxes, SIDE_PX, (SIDE_PX, SIDE_PX), ["cross_10_0", "coarse"])
    assert found[0, 0] == pytest.approx(1, abs=1e-6)
    assert cam_overlaps(maps, boxes[:0], SIDE_PX, (SIDE_PX, SIDE_PX), ["cross_10_0", "coarse"]).shape == (0, 1)
