"""What becomes of detections after suppression class by class."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.detections import Detections
from models.postprocess import best_scores, favour_one_box, favour_one_tag

TAPE, CLAMP, WIRE = 0, 1, 2
LEFT, RIGHT, LEFT_SHIFTED = (0, 0, 10, 10), (50, 0, 60, 10), (1, 0, 11, 10)


def detections(*rows: tuple[int, float, tuple[int, int, int, int]]) -> Detections:
    labels, scores, boxes = zip(*sorted(rows, key=lambda row: -row[1]), strict=True)
    return Detections(
        np.array(boxes, np.float32),
        np.array(scores, np.float32),
        np.array(labels),
        np.arange(len(rows)),
        np.ones(len(rows), np.bool_),
    )


def found_in(result: Detections) -> list[tuple[int, float]]:
    return [(int(label), round(float(score), 2)) for label, score in zip(result.labels, result.scores, strict=True)]


def test_a_thing_keeps_the_tag_that_has_nothing_else_even_with_the_lower_score() -> None:
    found = detections((CLAMP, 0.95, RIGHT), (CLAMP, 0.76, LEFT_SHIFTED), (TAPE, 0.75, LEFT))
    assert found_in(favour_one_tag(found, 0.7)) == [(CLAMP, 0.95), (TAPE, 0.75), (CLAMP, 0.08)]


def test_two_tags_that_have_nothing_but_one_thing_both_keep_it() -> None:
    found = detections((CLAMP, 0.9, LEFT), (TAPE, 0.2, LEFT))
    assert found_in(favour_one_tag(found, 0.7)) == [(CLAMP, 0.9), (TAPE, 0.2)]


def test_a_wrong_tag_that_is_hardly_seen_takes_nothing_from_another() -> None:
    found = detections((CLAMP, 0.9, RIGHT), (CLAMP, 0.8, LEFT), (TAPE, 0.003, LEFT))
    assert found_in(favour_one_tag(found, 0.7)) == [(CLAMP, 0.9), (CLAMP, 0.8), (TAPE, 0.0)]


def test_of_two_further_detections_the_better_one_keeps_its_score() -> None:
    further = detections((CLAMP, 0.9, LEFT), (TAPE, 0.8, (0, 50, 10, 60)), (TAPE, 0.5, RIGHT), (CLAMP, 0.4, RIGHT))
    assert found_in(favour_one_tag(further, 0.7)) == [(CLAMP, 0.9), (TAPE, 0.8), (TAPE, 0.5), (CLAMP, 0.04)]


def test_boxes_that_overlap_less_and_boxes_of_one_class_are_no_clash() -> None:
    found = detections((CLAMP, 0.95, RIGHT), (CLAMP, 0.76, LEFT_SHIFTED), (CLAMP, 0.5, LEFT), (TAPE, 0.75, LEFT))
    lowered = [(CLAMP, 0.95), (CLAMP, 0.76), (TAPE, 0.75), (CLAMP, 0.05)]  # IoU 9/11; the last lies on the tape
    assert found_in(favour_one_tag(found, 0.82)) == lowered
    assert found_in(favour_one_tag(found, 1.0)) == found_in(found)


@given(
    st.lists(
        st.tuples(st.sampled_from([TAPE, CLAMP, WIRE]), st.floats(0, 1), st.sampled_from([LEFT, RIGHT, LEFT_SHIFTED])),
        min_size=1,
        max_size=12,
    )
)
def test_nothing_is_lost_and_every_class_keeps_its_best_score(
    rows: list[tuple[int, float, tuple[int, int, int, int]]],
) -> None:
    found = detections(*rows)
    kept = favour_one_tag(found, 0.7)
    for label in np.unique(found.labels):
        assert kept.scores[kept.labels == label].max() == found.scores[found.labels == label].max()
    assert sorted(kept.sources) == list(found.sources)
    assert (np.diff(kept.scores) <= 0).all()


WHOLE, PART, GROUP = (10, 10, 30, 30), (12, 12, 20, 20), (8, 8, 70, 40)


def test_the_worse_of_two_nested_boxes_of_a_class_keeps_a_tenth_whichever_is_larger() -> None:
    found = detections((TAPE, 0.9, WHOLE), (TAPE, 0.8, PART), (TAPE, 0.7, GROUP), (TAPE, 0.6, RIGHT))
    assert found_in(favour_one_box(found, 0.9)) == [(TAPE, 0.9), (TAPE, 0.6), (TAPE, 0.08), (TAPE, 0.07)]


def test_a_box_that_has_lost_takes_nothing_from_others() -> None:
    inner = (60, 12, 68, 20)  # lies in the group alone
    found = detections((TAPE, 0.9, WHOLE), (TAPE, 0.8, GROUP), (TAPE, 0.7, inner))
    assert found_in(favour_one_box(found, 0.9)) == [(TAPE, 0.9), (TAPE, 0.7), (TAPE, 0.08)]


def test_nested_boxes_of_two_classes_and_boxes_that_reach_out_keep_their_scores() -> None:
    out = (10, 10, 20, 33)  # 20/23 of it in the whole
    found = detections((TAPE, 0.9, WHOLE), (CLAMP, 0.8, PART), (TAPE, 0.7, out))
    assert found_in(favour_one_box(found, 0.9)) == found_in(found)
    assert found_in(favour_one_box(found, 0.86)) == [(TAPE, 0.9), (CLAMP, 0.8), (TAPE, 0.07)]
    assert found_in(favour_one_box(detections((TAPE, 0.9, WHOLE), (TAPE, 0.8, WHOLE)), 1.0)) == [
        (TAPE, 0.9),
        (TAPE, 0.8),
    ]


def test_the_best_score_of_a_class_is_0_without_proposals() -> None:
    scores, predicted_iou = np.array([[0.5, 0.2], [0.9, 0.1]], np.float32), np.array([1.0, 0.5], np.float32)
    assert best_scores(scores, predicted_iou, 1.0).tolist() == pytest.approx([0.5, 0.2])
    assert best_scores(scores[:0], predicted_iou[:0], 1.0).tolist() == [0, 0]
