from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from models.boxes import pairwise_iou
from training.metrics.average_precision import Interpolation, average_precision, recall_at
from training.metrics.hits import HIT, IGNORED, MISS, match_as_voc


def _floats(*values: float) -> npt.NDArray[np.float32]:
    return np.array(values, np.float32)


@pytest.mark.parametrize(
    ("matches", "positives", "interpolation", "expected"),
    [
        pytest.param([HIT, HIT], 2, "area", 1.0, id="perfect"),
        pytest.param([HIT, HIT], 2, "11_point", 1.0, id="perfect-11-point"),
        pytest.param([MISS, MISS], 2, "area", 0.0, id="nothing-right"),
        pytest.param([], 3, "area", 0.0, id="nothing-found"),
        pytest.param([], 3, "11_point", 0.0, id="nothing-found-11-point"),
        pytest.param([], 3, "101_point", 0.0, id="nothing-found-101-point"),
        pytest.param([HIT], 2, "area", 0.5, id="half-recall"),
        pytest.param([HIT], 2, "11_point", 6 / 11, id="half-recall-11-point"),
        # recall 1/3 at precision 1, 2/3 at 2/3, 1 at 3/5
        pytest.param([HIT, MISS, HIT, MISS, HIT], 3, "area", (1 + 2 / 3 + 3 / 5) / 3, id="worked-example"),
        pytest.param(
            [HIT, MISS, HIT, MISS, HIT], 3, "11_point", (4 * 1 + 3 * 2 / 3 + 4 * 3 / 5) / 11, id="worked-11-point"
        ),
        pytest.param(
            [HIT, MISS, HIT, MISS, HIT], 3, "101_point", (34 * 1 + 33 * 2 / 3 + 34 * 3 / 5) / 101, id="worked-101-point"
        ),
        # the envelope: precision after the miss rises again, so the first hit counts with 2/3 too
        pytest.param([MISS, HIT, HIT], 2, "area", 2 / 3, id="envelope"),
        pytest.param([IGNORED, HIT, IGNORED, HIT], 2, "area", 1.0, id="ignored-ones-vanish"),
    ],
)
def test_average_precision(matches: list[int], positives: int, interpolation: Interpolation, expected: float) -> None:
    scores = np.linspace(0.9, 0.1, len(matches), dtype=np.float32)

    found = average_precision(scores, np.array(matches, np.int8), positives, interpolation)

    assert found == pytest.approx(expected, abs=1e-6)


def test_order_of_detections_does_not_matter() -> None:
    rng = np.random.default_rng(0)
    scores, matches = rng.random(50).astype(np.float32), rng.integers(-1, 2, 50).astype(np.int8)
    shuffled = rng.permutation(50)

    assert average_precision(scores, matches, 30) == average_precision(scores[shuffled], matches[shuffled], 30)


def test_a_class_without_objects_has_no_precision() -> None:
    with pytest.raises(ValueError, match="positives must be at least 1, got 0"):
        average_precision(_floats(0.5), np.array([MISS], np.int8), 0)


@pytest.mark.parametrize("seed", range(4))
def test_area_agrees_with_pycocotools(seed: int) -> None:
    """COCO samples recall at 101 points instead of integrating; apart from that the two must agree.

    Objects stand far apart, because of two true objects under one detection COCO takes another one than VOC.
    """
    rng = np.random.default_rng(seed)
    truth, detections = _random_boxes(rng)

    scores, matches = [], []
    for image_id, boxes in enumerate(truth):
        mine = np.array([row[1:] for row in detections if row[0] == image_id], np.float32).reshape(-1, 5)
        scores.append(mine[:, 4])
        ious = pairwise_iou(mine[:, :4], boxes)
        matches.append(match_as_voc(mine[:, 4], ious, np.zeros(len(boxes), np.bool_), 0.5))
    ours = average_precision(np.concatenate(scores), np.concatenate(matches), sum(map(len, truth)))

    assert ours == pytest.approx(_coco_ap50(truth, detections), abs=0.01)
    assert 0.2 < ours < 0.95


def _random_boxes(
    rng: np.random.Generator,
) -> tuple[list[npt.NDArray[np.float32]], list[tuple[float, ...]]]:
    truth, detections = [], []
    for image_id in range(40):
        corners = 100.0 * rng.permutation(9)[: rng.integers(1, 6)]
        boxes = np.stack([corners, corners, corners + 60, corners + 60], axis=1).astype(np.float32)
        truth.append(boxes)
        for box in boxes[rng.random(len(boxes)) < 0.85]:
            detections.append((image_id, *(box + rng.normal(0, 9, 4)), rng.random()))
            if rng.random() < 0.3:
                detections.append((image_id, *(box + rng.normal(0, 9, 4)), rng.random()))
        detections.extend((image_id, 950.0, 950.0, 990.0, 990.0, rng.random()) for _ in range(rng.integers(0, 2)))
    return truth, detections


def _coco_ap50(truth: list[npt.NDArray[np.float32]], detections: list[tuple[float, ...]]) -> float:
    def row(image_id: float, x0: float, y0: float, x1: float, y1: float) -> dict[str, object]:
        bbox = [float(x0), float(y0), float(x1 - x0), float(y1 - y0)]
        return {"image_id": int(image_id), "category_id": 1, "bbox": bbox, "area": bbox[2] * bbox[3], "iscrowd": 0}

    coco = COCO()
    objects = [row(image_id, *box) for image_id, boxes in enumerate(truth) for box in boxes]
    coco.dataset = {
        "info": {},
        "images": [{"id": image_id, "height": 1000, "width": 1000} for image_id in range(len(truth))],
        "categories": [{"id": 1, "name": "thing"}],
        "annotations": [{"id": number, **thing} for number, thing in enumerate(objects, start=1)],
    }
    coco.createIndex()
    found = coco.loadRes([{**row(*detection[:5]), "score": float(detection[5])} for detection in detections])
    evaluation = COCOeval(coco, found, "bbox")
    evaluation.params.iouThrs = np.array([0.5])
    evaluation.evaluate()
    evaluation.accumulate()
    precision = evaluation.eval["precision"][0, :, 0, 0, -1]
    return float(precision.mean())


def test_recall_at() -> None:
    assert recall_at(_floats(0.5, 0.74, 0.76, 0.95)) == {"0.5": 1.0, "0.75": 0.5, "0.9": 0.25}
