from __future__ import annotations

import numpy as np
import pytest

from training.metrics.score_thresholds import (
    MIN_THRESHOLD,
    best_f1_threshold,
    tag_recall_threshold,
    thresholds_by_class,
    weak_detector_thresholds,
)


def column(*values: float) -> np.ndarray:
    return np.array(values, np.float32)


def test_the_threshold_separates_what_can_be_separated() -> None:
    assert best_f1_threshold(column(0.9, 0.7, 0.3, 0.1), np.array([True, True, False, False])) == pytest.approx(0.5)


def test_a_threshold_is_never_below_the_least() -> None:
    assert best_f1_threshold(column(0.004, 0.001), np.array([True, True])) == MIN_THRESHOLD


def test_nine_in_ten_tagged_images_reach_their_threshold() -> None:
    scores = column(*(np.arange(1, 12) / 20).tolist())
    tagged = np.array([False] + [True] * 10)
    assert np.mean(scores[tagged] >= tag_recall_threshold(scores, tagged)) == pytest.approx(0.9)


def test_a_threshold_stays_within_its_bounds() -> None:
    sure = column(0.99, 0.995, 0.999)
    tagged = np.array([True] * 3)
    assert tag_recall_threshold(sure, tagged) > 0.98
    assert tag_recall_threshold(sure, tagged, max_threshold=0.5) == 0.5
    assert tag_recall_threshold(column(0.1, 0.2, 0.3), tagged, min_threshold=0.25) == 0.25


def test_a_class_without_images_gets_the_median_of_the_others() -> None:
    scores = np.stack([column(0.9, 0.1), column(0.1, 0.7), column(0.2, 0.2)], axis=1)
    tags = np.array([[1, 0, 0], [0, 1, 0]], np.float32)
    assert thresholds_by_class(scores, tags, best_f1_threshold) == pytest.approx([0.5, 0.4, 0.45])


def test_no_tags_at_all_leave_the_middle() -> None:
    nothing = np.zeros((2, 3), np.float32)
    assert thresholds_by_class(nothing, nothing, tag_recall_threshold) == [0.5, 0.5, 0.5]


def test_thresholds_of_a_detector_that_divides_a_class_may_be_lower() -> None:
    scores, tags = np.full((3, 1), 0.001, np.float32), np.ones((3, 1), np.float32)
    assert weak_detector_thresholds(scores, tags, "wsddn") == [0.001]
    assert weak_detector_thresholds(scores, tags, "oicr") == [MIN_THRESHOLD]
