from __future__ import annotations

from typing import Any

import pytest

from training.metrics.plain_names import plain_name
from training.pipeline.report_summary import few_images, next_steps, reached

METRICS: dict[str, Any] = {
    "ap50": 0.31, "ap50_tagged": 0.64, "naive_ap50_tagged": 0.126, "corloc": 0.735,
    "returned_precision_tagged": 0.81, "returned_recall_tagged": 0.7,
    "per_class": {
        "Bolt": {"ap50_tagged": 0.91}, "Nut": {"ap50_tagged": 0.3}, "Pen": {"ap50_tagged": 0.12},
        "Wire": {"corloc": 0.0},
    },
}  # fmt: skip


def test_the_first_sentences_say_what_was_reached() -> None:
    assert list(reached("scenes", METRICS)) == [
        "scenes: in 74% of the cases, the best box of a tag lies on an object of it.",
        (
            "scenes: the boxes have an average precision of 0.64 if the tags are given, and of 0.31 without tags. "
            "1 is perfect; the naive baseline has 0.13 with tags."
        ),
        (
            "scenes: if the tags are given, 81% of the boxes that the service returns are right, and 70% of the "
            "objects are found."
        ),
    ]


def test_weak_classes_are_named_with_their_images_and_what_to_do() -> None:
    assert list(next_steps("scenes", METRICS, {"Nut": 120, "Pen": 1})) == [
        "Pen is weak on scenes: average precision 0.12. Only 1 training image shows it: add more of them.",
        (
            "Nut is weak on scenes: average precision 0.30. 120 training images show it: confirm their boxes with "
            "`weaksam review`, or see below where its objects are lost."
        ),
    ]


def test_where_no_class_is_weak_the_next_step_is_to_use_it() -> None:
    strong = METRICS | {"per_class": {"Bolt": {"ap50_tagged": 0.91}}}
    assert list(next_steps("scenes", strong, {})) == [
        "No class is weak on scenes: serve the bundle, label a folder and review the doubtful images."
    ]


def test_a_run_that_measured_nothing_names_the_classes_with_few_images() -> None:
    assert list(few_images({"Bolt": 300, "Pen": 4, "Nut": 0}))[1:] == [
        "Nut has few images. No training image shows it: add some.",
        "Pen has few images. Only 4 training images show it: add more of them.",
    ]


@pytest.mark.parametrize(
    ("name", "plain"),
    [
        ("naive_ap50_tagged_11_point", "box precision (AP50) of the naive baseline, tags given, by VOC's 11 points"),
        ("proposal_recall at 0.5", "objects covered by a proposal, IoU 0.5"),
        ("loss_first", "loss first"),
        ("ap50_tagged_per_class at red_bolt", "box precision (AP50), tags given, red_bolt"),
        ("pointing_by_kind at coarse", "the same (pointing), by kind of map, coarse"),
        ("peaks at per_tag", "peaks for each tag"),
    ],
)
def test_people_read_plain_names(name: str, plain: str) -> None:
    assert plain_name(name) == plain
