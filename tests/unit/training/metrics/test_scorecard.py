from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from training.data.tagged import TrueObject
from training.metrics.predictions import Predictions
from training.metrics.scorecard import ImageProposals, Scorecard
from weaksam.formats.run_lengths import encode_rle

NUT_XYXY, BOLT_XYXY, NOWHERE_XYXY = (0.0, 0.0, 10.0, 10.0), (20.0, 20.0, 40.0, 30.0), (50.0, 50.0, 60.0, 60.0)
NUT, BOLT = TrueObject("Nut", NUT_XYXY), TrueObject("Bolt", BOLT_XYXY)

Box = tuple[float, float, float, float]


def _found(*rows: tuple[str, float, Box]) -> Predictions:
    scores, boxes = [row[1] for row in rows], [row[2] for row in rows]
    return Predictions(
        tuple(row[0] for row in rows), np.array(scores, np.float32), np.array(boxes, np.float32).reshape(-1, 4)
    )


def _proposed(*rows: tuple[float, Box]) -> ImageProposals:
    return ImageProposals(
        np.array([row[1] for row in rows], np.float32).reshape(-1, 4), np.array([row[0] for row in rows], np.float32)
    )


def test_a_worked_example() -> None:
    """Two images, both tagged Nut and Bolt. One proposal covers the bolt badly: IoU 0.7."""
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

    card.add_returned([NUT, BOLT], _found(("Nut", 0.9, NUT_XYXY), ("Bolt", 0.8, BOLT_XYXY)), _found())
    card.add_returned([NUT, BOLT], _found(("Nut", 0.95, NOWHERE_XYXY), ("Nut", 0.5, NUT_XYXY)), _found())

    report = card.report()

    # Nut: miss, hit, hit -> 2/3; Bolt: one hit of two -> 1/2
    assert report["ap50_tagged"] == pytest.approx((2 / 3 + 1 / 2) / 2, abs=1e-4)
    # without tags only one Nut of two was found; the Pen has no true object and no precision
    assert report["ap50"] == pytest.approx((1 / 2 + 0) / 2)
    # the naive box is the nut in the first image and the bolt in the second, for both tags
    assert report["naive_ap50_tagged"] == pytest.approx((1 / 2 + 1 / 4) / 2)
    assert report["corloc"] == pytest.approx(2 / 4)
    assert report["naive_corloc"] == pytest.approx(2 / 4)
    assert report["proposal_recall"] == {"0.5": 1.0, "0.75": 0.75, "0.9": 0.75}
    assert report["proposals_per_image"] == 3.0
    assert (report["images"], report["objects"]) == (2, 4)
    assert "mask_ap50" not in report
    # of four returned boxes three are right, of four objects three are found; without tags nothing is returned
    assert (report["returned_precision_tagged"], report["returned_recall_tagged"]) == (0.75, 0.75)
    assert (report["returned_precision"], report["returned_recall"]) == (None, 0.0)
    assert report["per_class"]["Nut"] == {
        "ap50": 0.5,
        "ap50_tagged": pytest.approx(2 / 3, abs=1e-4),
        "naive_ap50_tagged": 0.5,
        "corloc": 0.5,
        "naive_corloc": 0.5,
        "returned_precision": None,
        "returned_precision_tagged": pytest.approx(2 / 3, abs=1e-4),
        "returned_recall": 0.0,
        "returned_recall_tagged": 1.0,
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
        found = Predictions(
            ("Nut",), np.array([0.9], np.float32), np.array([[0, 0, 9, 9]], np.float32), (encode_rle(mask),)
        )
        card.add(truth, found, found, _proposed((0.9, (0.0, 0.0, 9.0, 9.0))))

    report = card.report()

    assert report["ap50_tagged"] == 1.0
    # the hit is ranked first: equal scores keep their order
    assert report["mask_ap50"] == 0.5
    assert report["per_class"]["Nut"]["mask_ap50"] == report["mask_ap50"]


def test_an_image_without_true_masks_does_not_count_against_masks() -> None:
    whole = np.zeros((60, 60), np.bool_)
    whole[0:9, 0:9] = True
    box_xyxy = (0.0, 0.0, 9.0, 9.0)
    found = Predictions(("Nut",), np.array([0.9], np.float32), np.array([box_xyxy], np.float32), (encode_rle(whole),))
    card = Scorecard()
    for mask in (encode_rle(whole), None, None):
        card.add([TrueObject("Nut", box_xyxy, mask)], found, found, _proposed((0.9, box_xyxy)))

    report = card.report()

    assert (report["mask_ap50"], report["mask_ap50_to_95"]) == (1.0, 1.0)


def test_images_without_proposals_or_detections() -> None:
    card = Scorecard()
    card.add([NUT], _found(), _found(), _proposed())

    report = card.report()

    figures = ("ap50", "ap50_tagged", "naive_ap50_tagged", "corloc", "naive_corloc", "proposals_per_image")
    assert [report[name] for name in figures] == [0.0] * 6
    assert report["proposal_recall"] == {"0.5": 0.0, "0.75": 0.0, "0.9": 0.0}


def test_nothing_to_measure_is_an_error() -> None:
    card = Scorecard()
    card.add([], _found(), _found(), _proposed())

    with pytest.raises(ValueError, match="no image has a true object"):
        card.report()


def test_precision_over_ious_agrees_with_pycocotools(tmp_path: Path) -> None:
    rng = np.random.default_rng(3)
    card, truth_rows, found_rows = Scorecard(), [], []
    for image in range(1, 41):
        corners = rng.uniform(0, 60, (4, 2))
        boxes = np.concatenate([corners, corners + rng.uniform(10, 40, (4, 2))], axis=1)
        labels = rng.integers(0, 2, 4)
        things = [
            TrueObject("Nut" if label == 0 else "Bolt", tuple(box), encode_rle(_filled(box)))
            for label, box in zip(labels, boxes, strict=True)
        ]
        guesses = np.concatenate([boxes + rng.normal(0, 3, boxes.shape), rng.permutation(boxes)])
        names = [things[i % 4].label for i in range(8)]
        masks = tuple(encode_rle(_filled(guess)) for guess in guesses)
        found = Predictions(tuple(names), rng.random(8).astype(np.float32), guesses.astype(np.float32), masks)
        card.add(things, tagged=found, predicted=found, proposed=_proposed((0.5, NUT_XYXY)))
        ids = {"Nut": 1, "Bolt": 2}
        truth_rows += [_coco_row(image, ids[thing.label], thing.box_xyxy, thing.mask_rle) for thing in things]
        rows = zip(names, guesses, masks, found.scores, strict=True)
        found_rows += [_coco_row(image, ids[n], box, rle) | {"score": float(score)} for n, box, rle, score in rows]

    report = card.report()

    for name, kind in (("ap50_to_95", "bbox"), ("mask_ap50_to_95", "segm")):
        expected = _coco_ap(truth_rows, found_rows, kind, tmp_path)
        assert 0.05 < expected[0] < 0.95
        assert report[name] == pytest.approx(expected[0], abs=1e-4)  # reports have four digits
    assert report["mask_ap25"] > report["mask_ap50"] > report["mask_ap70"] > report["mask_ap75"]


def _filled(box_xyxy: npt.NDArray[np.float64]) -> npt.NDArray[np.bool_]:
    mask = np.zeros((110, 110), np.bool_)
    x0, y0, x1, y1 = np.clip(np.round(box_xyxy), 0, 110).astype(int)
    mask[y0:y1, x0:x1] = True
    return mask


def _coco_row(image: int, category: int, box: Sequence[float], rle: Any) -> dict[str, Any]:
    x0, y0, x1, y1 = (float(edge) for edge in box)
    row = {"image_id": image, "category_id": category, "bbox": [x0, y0, x1 - x0, y1 - y0], "segmentation": rle}
    return row | {"area": (x1 - x0) * (y1 - y0), "iscrowd": 0}


def _coco_ap(truth: list[dict[str, Any]], found: list[dict[str, Any]], kind: str, folder: Path) -> list[float]:
    images = [{"id": image, "height": 110, "width": 110} for image in range(1, 41)]
    numbered = [row | {"id": number} for number, row in enumerate(truth, 1)]
    document = {"images": images, "annotations": numbered, "categories": [{"id": 1}, {"id": 2}]}
    (folder / "truth.json").write_text(json.dumps(document))
    coco = COCO(folder / "truth.json")
    scored = [row if kind == "segm" else {k: v for k, v in row.items() if k != "segmentation"} for row in found]
    evaluation = COCOeval(coco, coco.loadRes(scored), kind)
    evaluation.evaluate()
    evaluation.accumulate()
    evaluation.summarize()
    return [float(value) for value in evaluation.stats]


def test_what_lies_inside_a_crowd_counts_neither_way() -> None:
    """COCO's rule: with a crowd, overlap is the share of the detection inside it, and not IoU."""
    crowd = TrueObject("Nut", (0.0, 40.0, 100.0, 100.0), difficult=True)
    card = Scorecard()
    in_the_crowd = _found(("Nut", 0.9, (10.0, 50.0, 20.0, 60.0)), ("Nut", 0.8, NUT_XYXY))
    card.add([NUT, crowd], tagged=in_the_crowd, predicted=in_the_crowd, proposed=_proposed((0.9, NUT_XYXY)))
    assert card.report()["ap50_to_95"] == 1.0
