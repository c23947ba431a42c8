from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest

from training.data.tagged import TrueObject
from training.metrics.hits import HIT, IGNORED, MISS, HitCount, count_hits, is_localised, match_as_coco, match_as_voc


def _floats(*values: float) -> npt.NDArray[np.float32]:
    return np.array(values, np.float32)


@pytest.mark.parametrize(
    ("scores", "ious", "difficult", "expected"),
    [
        pytest.param([0.9], [[0.6]], [False], [HIT], id="hit"),
        pytest.param([0.9], [[0.5]], [False], [HIT], id="the-threshold-itself-is-a-hit"),
        pytest.param([0.9], [[0.49]], [False], [MISS], id="too-little-overlap"),
        pytest.param([0.9], [[]], [], [MISS], id="no-object"),
        pytest.param([0.4, 0.9], [[0.9], [0.6]], [False], [MISS, HIT], id="the-better-score-takes-the-object"),
        pytest.param([0.9, 0.4], [[0.8, 0.6], [0.7, 0.6]], [False, False], [HIT, MISS], id="best-overlap-only-as-voc"),
        pytest.param([0.9, 0.4], [[0.8], [0.8]], [True], [IGNORED, IGNORED], id="difficult-objects-count-neither-way"),
        pytest.param([0.9, 0.8], [[0.7, 0.6], [0.0, 0.6]], [True, False], [IGNORED, HIT], id="difficult-beside-easy"),
        pytest.param([], np.zeros((0, 2)), [False, False], [], id="no-detection"),
    ],
)
def test_voc_gives_each_detection_the_object_it_overlaps_most(
    scores: list[float], ious: object, difficult: list[bool], expected: list[int]
) -> None:
    overlap = np.array(ious, np.float32).reshape(len(scores), len(difficult))

    matches = match_as_voc(_floats(*scores), overlap, np.array(difficult, np.bool_), 0.5)

    assert matches.tolist() == expected


@pytest.mark.parametrize(
    ("scores", "ious", "expected"),
    [
        pytest.param([0.2, 0.9], [[0.9], [0.4]], False, id="only-the-best-score-counts"),
        pytest.param([0.2, 0.9], [[0.0, 0.0], [0.1, 0.5]], True, id="any-object-of-the-tag"),
        pytest.param([], np.zeros((0, 2)), False, id="nothing-found"),
    ],
)
def test_is_localised(scores: list[float], ious: object, expected: bool) -> None:
    assert is_localised(_floats(*scores), np.array(ious, np.float32)) is expected


@pytest.mark.parametrize(
    ("ious", "ignored", "expected"),
    [
        pytest.param([[0.9, 0.6], [0.8, 0.7]], [False, False], [HIT, HIT], id="the-second-takes-the-next-best"),
        pytest.param([[0.9], [0.8]], [False], [HIT, MISS], id="nothing-left"),
        pytest.param([[0.9], [0.8]], [True], [IGNORED, IGNORED], id="a-crowd-is-met-many-times"),
        pytest.param([[0.9, 0.6], [0.9, 0.6]], [True, False], [HIT, IGNORED], id="what-counts-goes-before-a-crowd"),
        pytest.param([[0.4], [0.5]], [False], [MISS, HIT], id="below-the-threshold"),
    ],
)
def test_coco_gives_each_detection_the_best_object_left(
    ious: list[list[float]], ignored: list[bool], expected: list[int]
) -> None:
    matches = match_as_coco(_floats(0.9, 0.8), np.array(ious, np.float32), np.array(ignored), 0.5)
    assert matches.tolist() == expected


def test_difficult_objects_count_neither_as_hits_nor_as_misses_nor_as_objects() -> None:
    truth = [
        TrueObject("nut", (0, 0, 10, 10)),
        TrueObject("nut", (50, 0, 60, 10), difficult=True),
        TrueObject("nut", (90, 0, 99, 10)),
    ]
    boxes_xyxy = np.array([(0, 0, 10, 9), (0, 0, 9, 10), (50, 0, 60, 10), (30, 30, 40, 40)], np.float32)
    assert count_hits(boxes_xyxy, _floats(0.5, 0.9, 0.8, 0.7), truth) == HitCount(hits=1, misses=2, objects=2)
    assert count_hits(boxes_xyxy, _floats(0.5, 0.9, 0.8, 0.7), truth, min_iou=0.95) == HitCount(0, 3, 2)
    assert count_hits(np.zeros((0, 4), np.float32), _floats(), truth) == HitCount(0, 0, 2)
    assert count_hits(boxes_xyxy, _floats(0.5, 0.9, 0.8, 0.7), []) == HitCount(0, 4, 0)
