from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from models.boxes import pairwise_iou
from models.postprocess import select_detections
from models.settings import PostSettings


@given(
    seed=st.integers(0, 2**31),
    proposals=st.integers(0, 40),
    allowed=st.lists(st.integers(0, 4), unique=True, max_size=5),
    shared_deltas=st.booleans(),
)
def test_only_allowed_classes_come_back_without_overlaps(
    seed: int, proposals: int, allowed: list[int], shared_deltas: bool
) -> None:
    rng = np.random.default_rng(seed)
    boxes = np.sort(rng.random((proposals, 2, 2)) * 100, axis=1).reshape(proposals, 4).astype(np.float32)
    scores = rng.random((proposals, 5)).astype(np.float32)
    deltas = rng.normal(0, 1, (proposals, 1 if shared_deltas else 5, 4)).astype(np.float32)
    quality = rng.random(proposals).astype(np.float32)
    post = PostSettings(nms_iou=0.3, quality_power=2.0)
    found = select_detections(boxes, scores, deltas, quality, allowed, (80, 100), post)
    assert set(found.labels.tolist()) == (set(allowed) if proposals else set())
    assert (np.diff(found.scores) <= 0).all()
    assert (found.boxes_xyxy >= 0).all()
    assert (found.boxes_xyxy <= [100, 80, 100, 80]).all()
    for label in allowed:
        mine = found[found.labels == label]
        overlaps = pairwise_iou(mine.boxes_xyxy, mine.boxes_xyxy) - np.eye(len(mine))
        assert (overlaps <= 0.3 + 1e-6).all()
        if proposals:
            np.testing.assert_allclose(mine.scores[0], (scores[:, label] * quality**2).max(), rtol=1e-5)
