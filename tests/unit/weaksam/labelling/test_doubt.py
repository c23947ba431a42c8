from __future__ import annotations

from typing import Any

import pytest

from weaksam.labelling.doubt import NO_DOUBT, review_result
from weaksam.schemas import DetectResult

IMAGE = {"width": 100, "height": 100, "sha256": "0" * 64}
BUNDLE = {"name": "b", "version": "1", "digest": "d" * 64}
LEFT, RIGHT, IN_LEFT = (0.0, 0.0, 40.0, 40.0), (50.0, 50.0, 90.0, 90.0), (0.0, 0.0, 20.0, 40.0)


def detection(label: str, box_xyxy: tuple[float, ...] = LEFT, score: float = 1.0, mask: float | None = 0.95) -> Any:
    return {
        "id": label, "label": label, "score": score, "box_xyxy": box_xyxy,
        "mask": None, "mask_score": mask, "source": "wsod",
    }  # fmt: skip


def row(label: str, status: str = "found", stage: str | None = None) -> Any:
    return {
        "tag": label, "label": None if status == "unknown" else label, "status": status, "predicted": False,
        "count": int(status == "found"), "stage": stage, "best_score": None, "nearest": [],
    }  # fmt: skip


def result(detections: list[Any], rows: list[Any] | None = None) -> DetectResult:
    rows = [row(found["label"]) for found in detections] if rows is None else rows
    return DetectResult.model_validate(
        {"image": IMAGE, "detections": detections, "tags": rows, "timing_ms": {}, "bundle": BUNDLE}
    )


CLEAR = [detection("Nut", LEFT), detection("Bolt", RIGHT)]
REASONS = {
    "a tag is lost": (result(CLEAR, [row("Pen", "not_found", "score")]), "Pen: not found, its best candidate"),
    "a tag is no label": (result(CLEAR, [row("Pan", "unknown")]), "Pan: no such label"),
    "a low score": (result([detection("Nut", score=0.3)]), "Nut: found with a score of only 0.30"),
    "a poor mask": (result([detection("Nut", mask=0.6)]), "Nut: its mask is expected to fit with an IoU of only 0.60"),
    "a rival": (result([detection("Nut"), detection("Bolt", IN_LEFT)]), "Bolt and Nut overlap with close scores"),
}


def test_a_clear_result_can_wait() -> None:
    review = review_result(result(CLEAR))
    assert (review.score, review.reason) == (0.0, NO_DOUBT)


@pytest.mark.parametrize(("doubtful", "reason"), REASONS.values(), ids=list(REASONS))
def test_each_doubt_raises_the_score_and_is_told(doubtful: DetectResult, reason: str) -> None:
    review = review_result(doubtful)
    assert 0.3 < review.score <= 1
    assert review.reason.startswith(reason)


def test_a_lost_tag_comes_before_any_single_doubtful_detection() -> None:
    lost = review_result(result(CLEAR, [row("Pen", "not_found", "classifier")]))
    poor = review_result(result([detection("Nut", score=0.0)]))
    assert lost.score > poor.score > 0


@pytest.mark.parametrize(
    "worse",
    [
        pytest.param(detection("Nut", score=0.4, mask=0.8), id="score"),
        pytest.param(detection("Nut", score=0.5, mask=0.5), id="mask"),
    ],
)
def test_the_score_rises_with_each_doubt(worse: Any) -> None:
    better = detection("Nut", score=0.5, mask=0.8)
    assert review_result(result([worse])).score > review_result(result([better])).score


def test_a_rival_with_a_much_lower_score_says_little() -> None:
    close = review_result(result([detection("Nut", score=0.9), detection("Bolt", IN_LEFT, 0.8)]))
    far = review_result(result([detection("Nut", score=0.9), detection("Nut", IN_LEFT, 0.05)]))
    assert "overlap" in close.reason
    assert "overlap" not in far.reason


def test_the_gravest_reasons_come_first_and_each_once() -> None:
    twice = [detection("Nut", LEFT, 0.6, None), detection("Nut", RIGHT, 0.5, None)]
    rows = [row("Nut"), row("Pen", "not_found", "proposals")]
    assert review_result(result(twice, rows)).reason == (
        "Pen: not found, no proposal covers the place where the classifier sees it; "
        "Nut: found with a score of only 0.50"
    )


def test_boxes_without_area_and_scores_of_zero_are_no_fault() -> None:
    point = (10.0, 10.0, 10.0, 10.0)
    assert review_result(result([detection("Nut", point, 0.0), detection("Nut", point, 0.0)])).score <= 1
