from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from training.pseudo_labels.rules import adaptive_rule, top1_rule
from weaksam.arrays import Float32

corner = st.integers(0, 12)
side = st.integers(1, 12)
# few places and few scores, so that containment, duplicates and ties are common
rows = st.lists(st.tuples(corner, corner, side, side, st.integers(0, 6)), max_size=12)
share = st.floats(0.05, 1.5)


def columns(drawn: list[tuple[int, int, int, int, int]]) -> tuple[Float32, Float32]:
    boxes = np.array([(x, y, x + w, y + h) for x, y, w, h, _ in drawn], np.float32).reshape(-1, 4)
    return boxes, np.array([row[4] / 6 for row in drawn], np.float32)


def inside(inner: Float32, outer: Float32) -> float:
    """Share of a box that lies in another."""
    sides = np.minimum(inner[2:], outer[2:]) - np.maximum(inner[:2], outer[:2])
    return float(np.prod(sides.clip(0)) / np.prod(inner[2:] - inner[:2]))


@given(rows, share, st.floats(0.5, 1.0))
def test_the_best_box_is_always_kept(
    drawn: list[tuple[int, int, int, int, int]], keep_share: float, contained_share: float
) -> None:
    boxes, scores = columns(drawn)
    kept = adaptive_rule(boxes, scores, keep_share, contained_share)
    assert set(top1_rule(scores).tolist()) <= set(kept.tolist())
    assert len(top1_rule(scores)) == min(1, len(scores))
    assert kept.tolist() == sorted(set(kept.tolist()))


@given(rows, share)
def test_what_is_kept_reaches_the_share_and_lies_in_nothing_better(
    drawn: list[tuple[int, int, int, int, int]], keep_share: float
) -> None:
    boxes, scores = columns(drawn)
    kept = adaptive_rule(boxes, scores, keep_share, 0.85)
    for index in set(kept.tolist()) - set(top1_rule(scores).tolist()):
        assert scores[index] / (scores.max() - scores.min() + 1e-8) >= keep_share * (1 - 1e-5)
        for other in set(kept.tolist()) - {index}:
            contained = inside(boxes[index], boxes[other]) >= 0.85
            mutual = contained and inside(boxes[other], boxes[index]) >= 0.85
            # of two that contain each other both stay only where the lower one is the best box, an equal score
            assert not contained or (mutual and scores[index] >= scores[other])


@given(rows, share)
def test_what_goes_has_a_reason(drawn: list[tuple[int, int, int, int, int]], keep_share: float) -> None:
    boxes, scores = columns(drawn)
    kept = set(adaptive_rule(boxes, scores, keep_share, 0.85).tolist())
    for index in set(range(len(scores))) - kept:
        low = scores[index] / (scores.max() - scores.min() + 1e-8) < keep_share * (1 + 1e-5)
        hosts = [other for other in range(len(scores)) if other != index and inside(boxes[index], boxes[other]) >= 0.85]
        assert low or hosts


@given(rows, share, st.floats(0.1, 10.0))
def test_only_the_proportions_of_scores_count(
    drawn: list[tuple[int, int, int, int, int]], keep_share: float, factor: float
) -> None:
    boxes, scores = columns(drawn)
    if len(set(scores.tolist())) < 2:
        return  # equal scores all stay, whatever the factor, unless they are 0
    normalised = scores / (scores.max() - scores.min() + 1e-8)
    if np.abs(normalised - keep_share).min() < 1e-4:
        return  # rounding decides
    scaled = (scores * np.float32(factor)).astype(np.float32)
    assert (
        adaptive_rule(boxes, scores, keep_share, 0.85).tolist()
        == adaptive_rule(boxes, scaled, keep_share, 0.85).tolist()
    )
