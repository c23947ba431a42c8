from __future__ import annotations

import numpy as np
import pytest

from models.masks import encode_rle
from training.data.tagged import TrueObject
from training.scorecard import Found, Proposed, Scorecard

NUT_XYXY, BOLT_XYXY, NOWHERE_XYXY = (0.0, 0.0, 10.0, 10.0), (20.0, 20.0, 40.0, 30.0), (50.0, 50.0, 60.0, 60.0)
NUT, BOLT = TrueObject("Nut", NUT_XYXY), TrueObject("Bolt", BOLT_XYXY)

Box = tuple[float, float, float, float]


def _found(*rows: tuple[str, float, Box]) -> Found:
    scores, boxes = [row[1] for row in rows], [row[2] for row in rows]
    return Found(
        tuple(row[0] for row in rows), np.array(scores, np.float32), np.array(boxes, np.float32).reshape(-1, 4)
    )


def _proposed(*rows: tuple[float, Box]) -> Proposed:
    return Proposed(
        np.array([row[1] for row in rows], np.float32).reshape(-1, 4), np.array([row[0] for row in rows], np.float32)
    )


def test_a_worked_example() -> None:
    """Two pictures, both tagged Nut and Bolt. One proposal covers the bolt badly: IoU 0.7."""
    card = Scorecard()
    rough_bolt = (20.0, 20.0, 34.0, 30.0)
    card.add(
        [NUT, BOLT],
        tagged=_found(("Nut", 0.9, NUT_XYXY), ("Bolt", 0.8, BOLT_XYXY)),
        predicted=_found(("Nut", 0.9, NUT_XYXY)),
        proposed=_proposed((0.9, NUT_XYXY), (0.8, rough_bolt)),
    )
    card.add(
        [NUT, BOLT],
        tagged=_found(("Nut", 0.95, NOWHERE_XYXY), ("Nut", 0.5, NUT_XYXY)),
        predicted=_found(("Pen", 0.9, NUT_XYXY)),
        proposed=_proposed((0.7, BOLT_XYXY), (0.6, NUT_XYXY), (0.1, NOWHERE_XYXY), (0.1, NOWHERE_XYXY)),
    )

    report = card.report()

    # Nut: miss, hit, hit -> 2/3; Bolt: one hit of two -> 1/2
    assert report["ap50_tagged"] == pytest.approx((2 / 3 + 1 / 2) / 2, abs=1e-4)
    # without tags only one Nut of two was found; the Pen has no true object and no precision
    assert report["ap50"] == pytest.approx((1 / 2 + 0) / 2)
    # the naive box is the nut in the first picture and the bolt in the second, for both tags
    assert report["naive_ap50_tagged"] == pytest.approx((1 / 2 + 1 / 4) / 2)
    assert report["corloc"] == pytest.approx(2 / 4)
    assert report["naive_corloc"] == pytest.approx(2 / 4)
    assert report["proposal_recall"] == {"0.5": 1.0, "0.75": 0.75, "0.9": 0.75}
    assert report["proposals_per_image"] == 3.0
    assert (report["images"], report["objects"]) == (2, 4)
    assert "mask_ap50" not in report
    assert report["per_class"]["Nut"] == {
        "ap50": 0.5,
        "ap50_tagged": pytest.approx(2 / 3, abs=1e-4),
        "naive_ap50_tagged": 0.5,
        "corloc": 0.5,
        "naive_corloc": 0.5,
        "proposal_recall": {"0.5": 1.0, "0.75": 1.0, "0.9": 1.0},
        "objects": 2,
    }
    assert report["per_class"]["Bolt"]["proposal_recall"] == {"0.5": 1.0, "0.75": 0.5, "0.9": 0.5}


def test_difficult_objects_count_nowhere() -> None:
    card = Scorecard()
    hard_bolt = TrueObject("Bolt", BOLT_XYXY, difficult=True)
    found = _found(("Nut", 0.9, NUT_XYXY), ("Bolt", 0.8, BOLT_XYXY))
    card.add([NUT, hard_bolt], found, found, _proposed((0.9, NUT_XYXY)))

    report = card.report()

    assert set(report["per_class"]) == {"Nut"}
    assert (report["objects"], report["corloc"], report["ap50_tagged"]) == (1, 1.0, 1.0)
    assert report["proposal_recall"]["0.5"] == 1.0


def test_masks_are_judged_by_their_own_overlap() -> None:
    """The box of both detections is right; one mask fills a third of the object."""
    whole, third = np.zeros((60, 60), np.bool_), np.zeros((60, 60), np.bool_)
    whole[0:9, 0:9] = True
    third[0:3, 0:9] = True
    truth = [TrueObject("Nut", (0.0, 0.0, 9.0, 9.0), encode_rle(whole))]
    card = Scorecard()
    for mask in (whole, third):
        found = Found(("Nut",), np.array([0.9], np.float32), np.array([[0, 0, 9, 9]], np.float32), (encode_rle(mask),))
        card.add(truth, found, found, _proposed((0.9, (0.0, 0.0, 9.0, 9.0))))

    report = card.report()

    assert report["ap50_tagged"] == 1.0
    # the hit is ranked first: equal scores keep their order
    assert report["mask_ap50"] == 0.5
    assert report["per_class"]["Nut"]["mask_ap50"] == report["mask_ap50"]


def test_pictures_without_proposals_or_detections() -> None:
    card = Scorecard()
    card.add([NUT], _found(), _found(), _proposed())

    report = card.report()

    figures = ("ap50", "ap50_tagged", "naive_ap50_tagged", "corloc", "naive_corloc", "proposals_per_image")
    assert [report[name] for name in figures] == [0.0] * 6
    assert report["proposal_recall"] == {"0.5": 0.0, "0.75": 0.0, "0.9": 0.0}


def test_nothing_to_measure_is_an_error() -> None:
    card = Scorecard()
    card.add([], _found(), _found(), _proposed())

    with pytest.raises(ValueError, match="no picture has a true object"):
        card.report()
