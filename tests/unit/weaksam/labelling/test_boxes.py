from __future__ import annotations

import numpy as np
import pytest

from models.boxes import pairwise_iou
from weaksam.labelling.boxes import box_iou, covered_share


def test_iou_is_that_of_the_service() -> None:
    rng = np.random.default_rng(0)
    corners = rng.uniform(0, 20, (30, 2))
    boxes = np.concatenate([corners, corners + rng.uniform(1, 20, (30, 2))], axis=1).astype(np.float32)
    found = [[box_iou(first, second) for second in boxes.tolist()] for first in boxes.tolist()]
    np.testing.assert_allclose(found, pairwise_iou(boxes, boxes), atol=1e-5)


@pytest.mark.parametrize(
    ("second_xyxy", "iou", "share"),
    [
        pytest.param((0, 0, 10, 10), 1, 1, id="the same"),
        pytest.param((2, 2, 7, 7), 0.25, 1, id="inside"),
        pytest.param((10, 0, 20, 10), 0, 0, id="beside"),
        pytest.param((3, 3, 3, 3), 0, 0, id="empty"),
    ],
)
def test_two_boxes(second_xyxy: tuple[float, ...], iou: float, share: float) -> None:
    first_xyxy = (0, 0, 10, 10)
    assert (box_iou(first_xyxy, second_xyxy), covered_share(first_xyxy, second_xyxy)) == (iou, share)
