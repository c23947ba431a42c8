from __future__ import annotations

import numpy as np
import pytest

from models.detections import Detections


def some(count: int) -> Detections:
    rows = np.arange(count)
    return Detections(np.tile(rows[:, None], (1, 4)).astype(np.float32), rows.astype(np.float32), rows, rows, rows > 0)


def test_indexing_takes_masks_indices_and_slices() -> None:
    assert some(4)[np.array([True, False, True, False])].labels.tolist() == [0, 2]
    assert some(4)[np.array([3, 1])].labels.tolist() == [3, 1]
    assert len(some(4)[:1]) == 1


def test_nothing_is_of_length_zero_however_it_came_about() -> None:
    assert len(Detections.empty()) == len(Detections.concat([])) == len(some(3)[np.zeros(3, bool)]) == 0


def test_concat_keeps_the_order() -> None:
    assert Detections.concat([some(2), Detections.empty(), some(1)]).labels.tolist() == [0, 1, 0]


@pytest.mark.parametrize("column", ["boxes_xyxy", "labels", "sources", "by_detector"])
def test_columns_of_another_length_are_refused(column: str) -> None:
    columns = dict(vars(some(3)))
    columns[column] = columns[column][:2]
    with pytest.raises(ValueError, match=f"{column} must have shape"):
        Detections(**columns)
