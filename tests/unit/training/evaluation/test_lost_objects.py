"""Constructed results in which every object and every tag is lost at a known stage."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from models.bundle import Bundle, Thresholds
from models.labels import Label, LabelSet
from models.settings import PostSettings, PromptSettings
from training.data.tagged import TaggedImage, TrueObject
from training.evaluation.loss_sentences import NO_BOXES, loss_sentences, worst_stage
from training.evaluation.lost_objects import Chain, ImageResults, count_lost_objects, count_lost_tags, own_ious
from training.pseudo_labels.config import PseudoLabelConfig

Box = tuple[float, float, float, float]
BOX: Box = (10, 10, 30, 30)
POOR: Box = (10, 10, 30, 22)  # IoU 0.6
FAR: Box = (60, 60, 80, 80)
INSIDE, OUTSIDE = (20.0, 20.0), (70.0, 70.0)
SURE, UNSURE = 0.9, 0.3
MIN_SHOWN = {"wsod": 0.5, "detector": 0.8}

BUNDLE = Bundle(
    folder=Path(),
    name="b",
    version="1",
    digest="d",
    labels=LabelSet((Label("Nut"), Label("Bolt"))),
    graphs={},
    map_kinds=("coarse",),
    thresholds=Thresholds((0.5, 0.5), (0.5, 0.5), (0.8, 0.8)),
    prompts=PromptSettings(),
    post=PostSettings(),
    provenance={},
)
TOP1 = PseudoLabelConfig(mode="top1")


def image_of(*objects: TrueObject, tags: tuple[str, ...] = ("nut",)) -> TaggedImage:
    return TaggedImage("a", Path("a.png"), (100, 100), tags, objects)


def result(
    found: tuple[tuple[Box, float], ...] = (),
    *,
    proposals: tuple[Box, ...] = (BOX,),
    classifier_score: float = 0.9,
    peaks: tuple[tuple[float, float], ...] = (INSIDE,),
    source: str = "wsod",
) -> dict[str, Any]:
    tag = {
        "label": "Nut",
        "classifier_score": classifier_score,
        "classifier_threshold": 0.5,
        "peaks": [{"point_xy": point, "value": 1.0} for point in peaks],
    }
    return {
        "detections": [
            {"label": "Nut", "box_xyxy": box, "score": score, "source": source, "shown": score >= MIN_SHOWN[source]}
            for box, score in found
        ],
        "explain": {"proposals": [{"box_xyxy": box} for box in proposals], "tags": [tag]},
    }


def final(*found: tuple[Box, float]) -> dict[str, Any]:
    return result(found, source="detector")


CASES = {
    "no_proposal": (result(((FAR, SURE),), proposals=(FAR,)), final()),
    "tag_not_seen": (result(((BOX, UNSURE),), classifier_score=0.4), final()),
    "no_peak": (result(((FAR, SURE),), peaks=(OUTSIDE,)), final()),
    "other_box": (result(((FAR, SURE),)), final()),
    "low_score": (result(((BOX, UNSURE),)), final()),
    "no_pseudo_label": (result(((FAR, 0.95), (BOX, SURE))), final()),
    "retraining": (result(((BOX, SURE),)), final((BOX, 0.7))),
    "poor_box": (result(((BOX, SURE),)), final((POOR, SURE))),
    "found": (result((), proposals=()), final((BOX, SURE))),
}


@pytest.mark.parametrize("stage", CASES)
def test_an_object_counts_at_the_first_stage_that_lost_it(stage: str) -> None:
    weak, last = CASES[stage]
    report = count_lost_objects(Chain(BUNDLE, TOP1), [ImageResults(image_of(TrueObject("nut", BOX)), weak, last)])
    assert {row["stage"]: row["objects"] for row in report["rows"] if row["objects"]} == {stage: 1}
    assert report["per_class"] == {"nut": {stage: 1}}


def test_the_rows_add_up_to_all_objects_but_difficult_ones() -> None:
    difficult = ImageResults(image_of(TrueObject("nut", BOX, difficult=True)), *CASES["found"])
    unknown = ImageResults(image_of(TrueObject("washer", BOX), tags=("washer",)), *CASES["found"])
    rest = [ImageResults(image_of(TrueObject("nut", BOX)), *case) for case in CASES.values()]
    report = count_lost_objects(Chain(BUNDLE, TOP1), [difficult, unknown, *rest])
    assert report["objects"] == 10
    assert [row["objects"] for row in report["rows"]] == [1] * 10
    assert sum(row["per_100"] for row in report["rows"]) == 100
    assert report["per_class"]["washer"] == {"unknown_class": 1}


def test_without_a_rule_what_it_lost_counts_as_lost_by_retraining() -> None:
    pairs = [ImageResults(image_of(TrueObject("nut", BOX)), *CASES["no_pseudo_label"])]
    assert count_lost_objects(Chain(BUNDLE), pairs)["per_class"] == {"nut": {"retraining": 1}}


def test_one_box_does_not_find_two_things_beside_each_other() -> None:
    left, right = (10.0, 10.0, 30.0, 30.0), (16.0, 10.0, 36.0, 30.0)
    boxes = np.array([(12, 10, 32, 30)], np.float32)
    assert own_ious(boxes, np.array([left, right], np.float32)).tolist() == pytest.approx([18 / 22, 0])
    assert own_ious(np.zeros((0, 4), np.float32), np.array([left], np.float32)).tolist() == [0]


def test_results_without_boxes_to_measure_on_are_refused() -> None:
    with pytest.raises(ValueError, match="no image has a true object"):
        count_lost_objects(Chain(BUNDLE), [ImageResults(image_of(), *CASES["found"])])


TAG_CASES = {
    "tag_not_seen": (result(classifier_score=0.4), final()),
    "no_proposal": (result(proposals=(FAR,)), final()),
    "low_score": (result(((BOX, UNSURE),)), final()),
    "retraining": (result(((BOX, SURE),)), final((BOX, 0.7))),
    "found": (result(((BOX, UNSURE),)), final((FAR, SURE))),
}


def test_tags_are_counted_where_there_are_no_boxes() -> None:
    unknown = ImageResults(image_of(tags=("washer",)), *TAG_CASES["found"])
    rest = [ImageResults(image_of(), *case) for case in TAG_CASES.values()]
    report = count_lost_tags(Chain(BUNDLE), [unknown, *rest])
    assert report["tags"] == 6
    assert {row["stage"]: row["tags"] for row in report["rows"]} == {"unknown_class": 1} | dict.fromkeys(TAG_CASES, 1)


def test_sentences_name_the_worst_stage_and_what_mends_it() -> None:
    cases = [CASES["no_peak"], CASES["no_peak"], CASES["found"], CASES["no_proposal"]]
    pairs = [ImageResults(image_of(TrueObject("nut", BOX)), *case) for case in cases]
    sentences = loss_sentences(count_lost_objects(Chain(BUNDLE, TOP1), pairs))
    assert "25 of 100 objects have no proposal that covers them (IoU 0.5 or more)." in sentences
    assert "peak_min_value" in sentences[-1]
    of_tags = loss_sentences(count_lost_tags(Chain(BUNDLE), pairs) | {"tag_map": 0.5})
    assert of_tags[-1] == NO_BOXES
    assert "0.500" in of_tags[-2]
    assert worst_stage([{"stage": "found", "per_100": 100.0}, {"stage": "no_peak", "per_100": 0.0}]) == "found"
