"""What a missed class gets: rows by hand, with thresholds of 0.5 for the detector and 0.05 for proposals."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import numpy.typing as npt
import pytest

from models.bundle import Bundle, Thresholds
from models.detections import Detections
from models.letterbox import Letterbox
from models.prompting.proposals import Proposals, ProposalSet
from models.settings import PostSettings
from service.inference.selection import select
from service.inference.stage_results import DetectorOutput, RequestedClasses, ScoredProposals, Selection
from tests.support.bundles.tiny_bundle import write_tiny_bundle
from weaksam.schemas import DetectOptions

BOLT, NEAR_IT, ELSEWHERE = (10, 10, 30, 30), (11, 11, 31, 31), (40, 40, 60, 60)
Row = tuple[tuple[int, int, int, int], float]


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    bundle = write_tiny_bundle(tmp_path_factory.mktemp("selection"), detector=True)
    count = len(bundle.labels)
    thresholds = Thresholds((0.3,) * count, (0.05,) * count, (0.5,) * count)
    return replace(bundle, thresholds=thresholds, post=PostSettings(quality_power=0.0, one_tag_iou=1.0))


def selected(
    bundle: Bundle,
    detector: list[Row],
    proposals: list[Row],
    min_score: float | None = None,
    *,
    plausible: bool = False,
) -> Selection:
    """Select from rows of one class, which is requested."""
    boxes, scores = _columns(detector)
    rows = np.arange(len(scores))
    found = Detections(boxes, scores, np.zeros_like(rows), rows, np.ones(len(rows), np.bool_))
    letterbox = Letterbox((64, 64), 64)
    options = DetectOptions(min_score=min_score)
    requested = RequestedClasses((0,), (0,), (0,) if plausible else ())
    output = DetectorOutput(found, boxes, np.zeros((0, 0, 0), np.float16))
    return select(bundle, output, _scored(bundle, proposals), requested, letterbox, options, 100)


def _columns(rows: list[Row]) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    boxes = np.array([box for box, _ in rows], np.float32).reshape(-1, 4)
    return boxes, np.array([score for _, score in rows], np.float32)


def _scored(bundle: Bundle, rows: list[Row]) -> ScoredProposals:
    boxes, scores = _columns(rows)
    sure, none = np.ones_like(scores), np.zeros(len(rows), np.int64)
    proposals = Proposals(boxes, sure, sure, none, none, none.astype(np.bool_))
    of_classes = np.zeros((len(rows), len(bundle.labels)), np.float32)
    of_classes[:, 0] = scores
    return replace(
        ScoredProposals.empty(len(bundle.labels)),
        proposal_set=ProposalSet(proposals, (), 0, Proposals.empty()),
        scores=of_classes,
        deltas=np.zeros((len(rows), 1, 4), np.float32),
    )


def shown(selection: Selection) -> list[tuple[tuple[float, ...], float, bool]]:
    found = selection.returned
    return [
        (tuple(box), round(float(score), 3), bool(by_detector))
        for box, score, by_detector in zip(found.boxes_xyxy.tolist(), found.scores, found.by_detector, strict=True)
    ]


def test_a_confirmed_box_is_the_detectors_with_the_higher_score(bundle: Bundle) -> None:
    assert shown(selected(bundle, [(BOLT, 0.2)], [(NEAR_IT, 0.1)])) == [(BOLT, 0.2, True)]
    assert shown(selected(bundle, [(BOLT, 0.2)], [(NEAR_IT, 0.4)])) == [(BOLT, 0.4, True)]


def test_a_proposal_confirms_one_box_alone(bundle: Bundle) -> None:
    beside, between = (20, 10, 40, 30), (12, 10, 34, 30)
    assert shown(selected(bundle, [(beside, 0.3), (BOLT, 0.2)], [(between, 0.1)])) == [(BOLT, 0.2, True)]


def test_what_is_not_confirmed_stays_hidden_but_a_candidate(bundle: Bundle) -> None:
    for proposals in ([], [(NEAR_IT, 0.04)]):
        selection = selected(bundle, [(BOLT, 0.2)], proposals)
        assert shown(selection) == []
        assert selection.candidates.scores.tolist() == [np.float32(0.2)]


def test_a_proposal_elsewhere_leaves_the_detectors_doubtful_box_a_candidate(bundle: Bundle) -> None:
    detector, proposals = [(BOLT, 0.2)], [(ELSEWHERE, 0.1)]
    assert shown(selected(bundle, detector, proposals)) == [(ELSEWHERE, 0.1, False)]
    assert shown(selected(bundle, detector, proposals, min_score=0)) == [(BOLT, 0.2, True), (ELSEWHERE, 0.1, False)]


def test_a_class_that_the_detector_found_is_not_confirmed(bundle: Bundle) -> None:
    selection = selected(bundle, [(ELSEWHERE, 0.6), (BOLT, 0.2)], [(NEAR_IT, 0.9)])
    assert shown(selection) == [(ELSEWHERE, 0.6, True)]


def test_a_plausible_tag_that_would_get_nothing_gets_its_best_box(bundle: Bundle) -> None:
    detector = [(BOLT, 0.2), (ELSEWHERE, 0.15)]
    selection = selected(bundle, detector, [], plausible=True)
    assert shown(selection) == [(BOLT, 0.2, True)]
    assert selection.min_scores[0] == np.float32(0.1)
    assert shown(selected(bundle, detector, [])) == []
    assert shown(selected(bundle, detector, [], min_score=0.3, plausible=True)) == []
    assert shown(selected(bundle, [(BOLT, 0.09)], [], plausible=True)) == []


def test_a_plausible_tag_that_gets_something_gets_no_doubtful_box(bundle: Bundle) -> None:
    detector = [(BOLT, 0.2)]
    assert shown(selected(bundle, [(ELSEWHERE, 0.6), *detector], [], plausible=True)) == [(ELSEWHERE, 0.6, True)]
    assert shown(selected(bundle, detector, [(ELSEWHERE, 0.1)], plausible=True)) == [(ELSEWHERE, 0.1, False)]


def test_a_threshold_below_the_one_of_doubtful_boxes_stays(bundle: Bundle) -> None:
    low = replace(bundle, thresholds=replace(bundle.thresholds, detector=(0.06,) * len(bundle.labels)))
    selection = selected(low, [(BOLT, 0.055)], [], plausible=True)
    assert shown(selection) == []
    assert selection.min_scores[0] == np.float32(0.06)
