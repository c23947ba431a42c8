from __future__ import annotations

import numpy as np

from deploy.export.detector_plan import pair_detections
from deploy.export.onnx_graph import Rows


def rows(*boxes: tuple[list[float], int, float]) -> Rows:
    return [
        np.array([box for box, _, _ in boxes], np.float32),
        np.array([label for _, label, _ in boxes]),
        np.array([score for _, _, score in boxes], np.float32),
    ]


def test_another_of_two_boxes_that_overlap_counts_with_its_score() -> None:
    kept = ([0.0, 0.0, 60.0, 60.0], 1, 0.3)
    other = ([0.0, 0.0, 45.0, 60.0], 1, 0.3)
    same = ([10.0, 10.0, 20.0, 20.0], 2, 0.9)

    left, right = pair_detections(rows(same, kept), rows(other, same))

    assert np.array_equal(left[0], right[0])
    assert left[2].tolist() == [np.float32(0.9), np.float32(0.3), 0]
    assert right[2].tolist() == [np.float32(0.9), 0, np.float32(0.3)]
