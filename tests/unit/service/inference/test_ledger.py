from __future__ import annotations

import numpy as np
import pytest

from models.bundle import Bundle
from models.detections import Detections
from models.prompting.peaks import Peaks
from models.prompting.proposals import Proposals
from service.errors import TooManyTags, UnknownTag
from service.inference.ledger import Evidence, covered_classes, tag_row
from service.inference.tags import Tag, known_classes, predict_tags, resolve_tags
from tests.support.bundles.tiny_bundle import LABELS
from weaksam.schemas import LossStage

SPELLINGS = {
    "none": ([], []),
    "exact": (["red-bolt"], [("red-bolt", 0)]),
    "case, spaces and hyphens": (["Red Bolt", "GREEN_NUT"], [("Red Bolt", 0), ("GREEN_NUT", 1)]),
    "alias": (["rivet"], [("rivet", 0)]),
    "alias beside its name: both have a row": (["rivet", "red-bolt"], [("rivet", 0), ("red-bolt", 0)]),
    "duplicates after folding: the first spelling": (["Red-Bolt", "redbolt", "red_bolt"], [("Red-Bolt", 0)]),
    "a duplicate at the end": (["red-bolt", "rivet", "red bolt"], [("red-bolt", 0), ("rivet", 0)]),
    "blanks": (["", "  ", "red-bolt "], [("red-bolt", 0)]),
    "order of sending": (["blue-wrench", "red-bolt"], [("blue-wrench", 2), ("red-bolt", 0)]),
}


@pytest.mark.parametrize(("sent", "tags"), SPELLINGS.values(), ids=list(SPELLINGS))
def test_tags_are_matched_and_collapsed(sent: list[str], tags: list[tuple[str, int]]) -> None:
    found = resolve_tags(sent, LABELS, max_tags=3, skip_unknown=False)
    assert [(tag.text, tag.label) for tag in found] == tags


def test_an_unknown_tag_is_refused_with_the_nearest_labels() -> None:
    with pytest.raises(UnknownTag, match="'read-bolt' is no label, the nearest are red-bolt") as caught:
        resolve_tags(["green-nut", "read-bolt", "wrench"], LABELS, max_tags=3, skip_unknown=False)
    unknown = caught.value.extras["unknown"]
    assert [(row["tag"], row["nearest"][0]) for row in unknown] == [
        ("read-bolt", "red-bolt"),
        ("wrench", "blue-wrench"),
    ]


def test_an_unknown_tag_can_be_skipped() -> None:
    tags = resolve_tags(["read-bolt", "green-nut"], LABELS, max_tags=3, skip_unknown=True)
    assert [(tag.text, tag.label, tag.nearest[:1]) for tag in tags] == [
        ("read-bolt", None, ("red-bolt",)),
        ("green-nut", 1, ()),
    ]
    assert known_classes(tags) == (1,)


def test_the_limit_counts_different_tags() -> None:
    assert len(resolve_tags(["red-bolt"] * 500, LABELS, max_tags=1, skip_unknown=False)) == 1
    with pytest.raises(TooManyTags, match="500 different tags, the limit is 499"):
        resolve_tags([f"tag {i}" for i in range(500)], LABELS, max_tags=499, skip_unknown=True)


def found_by_detector(*scores_by_label: tuple[int, float]) -> Detections:
    labels = np.array([label for label, _ in scores_by_label], np.int64)
    scores = np.array([score for _, score in scores_by_label], np.float32)
    count = len(labels)
    return Detections(np.zeros((count, 4), np.float32), scores, labels, np.arange(count), np.ones(count, np.bool_))


def test_predicted_tags_reach_their_own_thresholds_best_first(tiny_bundle: Bundle) -> None:
    tags = predict_tags(np.array([0.3, 0.29, 0.9], np.float32), found_by_detector(), tiny_bundle)
    assert [(tag.text, tag.label, tag.predicted) for tag in tags] == [("blue-wrench", 2, True), ("red-bolt", 0, True)]


def test_the_detector_proposes_what_it_is_sure_of(tiny_bundle: Bundle) -> None:
    found = found_by_detector((0, 0.49), (1, 0.5), (1, 0.9), (2, 0.8))
    tags = predict_tags(np.array([0.0, 0.0, 0.9], np.float32), found, tiny_bundle)
    assert [tag.text for tag in tags] == ["blue-wrench", "green-nut"]


def evidence(**changes: object) -> Evidence:
    """Everything classified, covered and returned for class 0, unless changed."""
    columns = {
        "classified": np.array([True, True, True]),
        "covered": np.array([True, True, True]),
        "best_scores": np.array([0.75, np.nan, np.nan], np.float32),
        "above_threshold": np.array([2, 0, 0]),
        "returned": np.array([2, 0, 0]),
    }
    return Evidence(**{**columns, **changes})  # type: ignore[arg-type]


NOTHING = np.zeros(3, np.int64)
LOSSES: dict[str, tuple[LossStage, dict[str, object]]] = {
    "classifier, and all later ones": (
        "classifier",
        {"classified": NOTHING > 0, "covered": NOTHING > 0, "above_threshold": NOTHING, "returned": NOTHING},
    ),
    "proposals": ("proposals", {"covered": NOTHING > 0, "above_threshold": NOTHING, "returned": NOTHING}),
    "score": ("score", {"above_threshold": NOTHING, "returned": NOTHING}),
    "limit": ("limit", {"returned": NOTHING}),
    "limit, of what only the detector sees": (
        "limit",
        {"classified": NOTHING > 0, "covered": NOTHING > 0, "returned": NOTHING},
    ),
}


@pytest.mark.parametrize(("stage", "changes"), LOSSES.values(), ids=list(LOSSES))
def test_a_lost_tag_names_the_first_stage_that_lost_it(stage: LossStage, changes: dict[str, object]) -> None:
    row = tag_row(Tag("Red Bolt", 0), evidence(**changes), LABELS)
    assert (row.tag, row.label, row.status, row.count, row.stage, row.best_score) == (
        "Red Bolt", "red-bolt", "not_found", 0, stage, 0.75,
    )  # fmt: skip


def test_a_found_tag_has_no_stage_even_where_the_classifier_did_not_see_it() -> None:
    row = tag_row(Tag("rivet", 0), evidence(classified=NOTHING > 0), LABELS)
    assert (row.status, row.count, row.stage, row.label) == ("found", 2, None, "red-bolt")


def test_a_class_without_candidates_has_no_best_score() -> None:
    assert tag_row(Tag("green-nut", 1), evidence(), LABELS).best_score is None


def test_an_unknown_tag_has_the_nearest_labels_and_nothing_else() -> None:
    row = tag_row(Tag("nuts", None, nearest=("green-nut",)), evidence(), LABELS)
    assert (row.status, row.label, row.count, row.stage, row.nearest) == ("unknown", None, 0, None, ("green-nut",))


def test_a_class_is_covered_by_a_box_that_holds_one_of_its_peaks() -> None:
    peaks = Peaks(np.array([[10, 10], [30, 30], [50, 50]], np.float32), np.array([0, 0, 2]), np.ones(3, np.float32))
    boxes = np.array([[25, 25, 35, 35], [40, 40, 50, 50]], np.float32)  # half-open: 50, 50 lies outside
    proposals = Proposals(boxes, *[np.zeros(2)] * 5)  # type: ignore[arg-type]
    assert covered_classes(peaks, proposals, 3).tolist() == [True, False, False]
