from __future__ import annotations

import numpy as np
import pytest

from training.pseudo_labels.rules import adaptive_rule, threshold_rule, top1_rule
from weaksam.arrays import Float32

WHOLE = (0.0, 0.0, 100.0, 100.0)
PART = (10.0, 10.0, 40.0, 40.0)  # inside WHOLE
NEARLY_WHOLE = (0.0, 0.0, 100.0, 95.0)  # each lies at least 0.95 inside the other
HALF_OUT = (80.0, 0.0, 120.0, 100.0)  # half of it in WHOLE
FAR = (200.0, 0.0, 230.0, 30.0)


def columns(*rows: tuple[tuple[float, float, float, float], float]) -> tuple[Float32, Float32]:
    return np.array([box for box, _ in rows], np.float32).reshape(-1, 4), np.array([s for _, s in rows], np.float32)


@pytest.mark.parametrize(
    ("rows", "kept"),
    [
        pytest.param([(FAR, 0.9)], [0], id="a-lone-box-stays"),
        pytest.param([], [], id="nothing-of-nothing"),
        # the range is 0.9 - 0.1: 0.24 / 0.8 is 0.3, 0.23 / 0.8 below
        pytest.param([(WHOLE, 0.9), (FAR, 0.2401), (HALF_OUT, 0.1)], [0, 1], id="normalised-by-the-range"),
        pytest.param([(WHOLE, 0.9), (FAR, 0.23), (HALF_OUT, 0.1)], [0], id="just-below"),
        pytest.param([(WHOLE, 0.02), (FAR, 0.01), (HALF_OUT, 0.0)], [0, 1], id="low-scores-count-as-high-ones-do"),
        pytest.param([(WHOLE, 0.5), (FAR, 0.5), (HALF_OUT, 0.5)], [0, 1, 2], id="equal-scores-all-stay"),
        pytest.param([(WHOLE, 0.9), (PART, 0.8), (FAR, 0.0)], [0], id="a-part-goes"),
        pytest.param(
            [(WHOLE, 0.8), (PART, 0.7), (FAR, 0.9), (HALF_OUT, 0.0)], [0, 2], id="a-part-of-a-lesser-one-goes"
        ),
        pytest.param([(PART, 0.9), (WHOLE, 0.8), (FAR, 0.0)], [0, 1], id="the-best-stays-inside-another"),
        pytest.param([(FAR, 0.9), (PART, 0.8), (WHOLE, 0.7), (HALF_OUT, 0.0)], [0, 2], id="a-better-part-goes-too"),
        pytest.param([(WHOLE, 0.9), (HALF_OUT, 0.8), (FAR, 0.0)], [0, 1], id="half-inside-stays"),
        pytest.param([(PART, 0.9), (WHOLE, 0.1), (FAR, 0.0)], [0], id="a-whole-of-too-low-a-score-drops-nothing"),
    ],
)
def test_adaptive(rows: list[tuple[tuple[float, float, float, float], float]], kept: list[int]) -> None:
    assert adaptive_rule(*columns(*rows), keep_share=0.3, contained_share=0.85).tolist() == kept


def test_boxes_besides_the_best_need_a_score_of_their_own() -> None:
    sure, unsure = columns((WHOLE, 0.9), (FAR, 0.5)), columns((WHOLE, 0.09), (FAR, 0.08), (HALF_OUT, 0.0))
    assert adaptive_rule(*sure, keep_share=0.3, contained_share=0.85, min_further_score=0.5).tolist() == [0, 1]
    assert adaptive_rule(*unsure, keep_share=0.3, contained_share=0.85, min_further_score=0.5).tolist() == [0]


@pytest.mark.parametrize(
    ("scores", "kept"),
    [
        pytest.param((0.9, 0.8), [0, 2], id="the-first-is-better"),
        pytest.param((0.8, 0.9), [1, 2], id="the-second-is-better"),
        pytest.param((0.9, 0.9), [0, 2], id="of-equals-the-first"),
    ],
)
def test_of_two_that_contain_each_other_the_higher_score_stays(scores: tuple[float, float], kept: list[int]) -> None:
    # FAR has the best score, so neither of the two is safe for being the best
    boxes, values = columns((WHOLE, scores[0]), (NEARLY_WHOLE, scores[1]), (FAR, 1.0), (HALF_OUT, 0.0))
    assert adaptive_rule(boxes, values, keep_share=0.3, contained_share=0.85).tolist() == kept


def test_top1_and_threshold() -> None:
    scores = np.array([0.2, 0.7, 0.7, 0.1], np.float32)
    assert top1_rule(scores).tolist() == [1]
    assert top1_rule(scores[:0]).tolist() == []
    assert threshold_rule(scores, 0.2).tolist() == [0, 1, 2]
    assert threshold_rule(scores, 0.8).tolist() == []
