from __future__ import annotations

import numpy as np
import pytest

from training.calibrate import LEAST_THRESHOLD, best_f1_threshold, presence_thresholds


def column(*values: float) -> np.ndarray:
    return np.array(values, np.float32)


def test_the_threshold_separates_what_can_be_separated() -> None:
    assert best_f1_threshold(column(0.9, 0.7, 0.3, 0.1), np.array([True, True, False, False])) == pytest.approx(0.5)


def test_a_threshold_is_never_below_the_least() -> None:
    assert best_f1_threshold(column(0.01, 0.005), np.array([True, True])) == LEAST_THRESHOLD


def test_a_class_without_pictures_gets_the_median_of_the_others() -> None:
    scores = np.stack([column(0.9, 0.1), column(0.1, 0.7), column(0.2, 0.2)], axis=1)
    tags = np.array([[1, 0, 0], [0, 1, 0]], np.float32)
    assert presence_thresholds(scores, tags) == pytest.approx([0.5, 0.4, 0.45])


def test_no_tags_at_all_leave_the_middle() -> None:
    assert presence_thresholds(np.zeros((2, 3), np.float32), np.zeros((2, 3), np.float32)) == [0.5, 0.5, 0.5]
