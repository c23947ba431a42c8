from __future__ import annotations

import numpy as np
import pytest

from models.boxes import box_areas, clip_boxes, nms, pairwise_iou, points_in_boxes, reach_a_pixel


def boxes(*rows: tuple[float, float, float, float]) -> np.ndarray:
    return np.array(rows, np.float32).reshape(-1, 4)


@pytest.mark.parametrize(
    ("first", "second", "iou"),
    [
        pytest.param((0, 0, 10, 10), (0, 0, 10, 10), 1.0, id="equal"),
        pytest.param((0, 0, 10, 10), (5, 0, 15, 10), 1 / 3, id="half shifted"),
        pytest.param((0, 0, 10, 10), (10, 0, 20, 10), 0.0, id="touching half-open boxes do not overlap"),
        pytest.param((0, 0, 10, 10), (2, 2, 4, 4), 0.04, id="contained"),
        pytest.param((3, 3, 3, 3), (3, 3, 3, 3), 0.0, id="both empty"),
    ],
)
def test_iou_of_two_boxes(
    first: tuple[float, float, float, float], second: tuple[float, float, float, float], iou: float
) -> None:
    assert pairwise_iou(boxes(first), boxes(second))[0, 0] == pytest.approx(iou)


def test_an_inverted_box_has_no_area() -> None:
    assert box_areas(boxes((5, 5, 1, 9), (0, 0, 2, 3))).tolist() == [0.0, 6.0]


def test_nms_keeps_the_best_of_each_cluster_best_first() -> None:
    rows = boxes((0, 0, 10, 10), (1, 0, 11, 10), (50, 50, 60, 60), (0, 1, 10, 11))
    assert nms(rows, np.array([0.5, 0.9, 0.95, 0.7], np.float32), 0.5).tolist() == [2, 1]


def test_nms_of_nothing_is_nothing() -> None:
    assert nms(boxes(), np.zeros(0, np.float32), 0.5).tolist() == []


def test_nms_keeps_the_earlier_of_equal_scores() -> None:
    assert nms(boxes((0, 0, 4, 4), (0, 0, 4, 4)), np.ones(2, np.float32), 0.5).tolist() == [0]


def test_clipping_cuts_at_every_side() -> None:
    assert clip_boxes(boxes((-5, -5, 50, 70)), (60, 40)).tolist() == [[0, 0, 40, 60]]


def test_the_left_and_top_edges_of_a_box_are_inside_and_the_others_are_not() -> None:
    points_xy = np.array([(2, 3), (5.9, 7.9), (6, 5), (4, 8), (1, 5)], np.float32)
    assert points_in_boxes(points_xy, boxes((2, 3, 6, 8), (0, 0, 9, 9))).tolist() == [
        [True, True],
        [True, True],
        [False, True],
        [False, True],
        [False, True],
    ]


def test_no_points_and_no_boxes_have_a_table_of_their_sizes() -> None:
    none = np.zeros((0, 2), np.float32)
    assert points_in_boxes(none, boxes((0, 0, 1, 1))).shape == (0, 1)
    assert points_in_boxes(np.zeros((2, 2), np.float32), boxes()).shape == (2, 0)


def test_boxes_that_are_narrower_than_a_pixel_or_inverted_show_nothing() -> None:
    boxes = np.array([(0, 0, 1, 1), (0, 0, 5, 0.9), (0, 0, 0.9, 5), (5, 5, 0, 9)], np.float32)
    assert reach_a_pixel(boxes).tolist() == [True, False, False, False]
