"""Where objects are lost: each true object, or each tag, under the first stage that lost it.

What was found in the end counts as found, whatever stage had missed it. All else is counted once, at the first stage
whose test it fails, so that the rows add up to all objects.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from models.boxes import pairwise_iou, points_in_boxes
from models.bundle import Bundle
from training.data.tagged import TaggedImage, TrueObject
from training.evaluation.loss_sentences import FOUND, GOOD_IOU, OBJECT_STAGES, POOR_BOX, RETRAINING, TAG_STAGES
from training.metrics.hits import HIT_IOU, true_boxes
from training.pseudo_labels.config import PseudoLabelConfig
from training.pseudo_labels.selection import label_image
from training.pseudo_labels.store import Detected
from weaksam.arrays import Flags, Float32
from weaksam.errors import UserError

Json = dict[str, Any]


@dataclass(frozen=True)
class Chain:
    """A bundle and the stages that made it.

    Attributes:
        bundle: whose labels the results have.
        rule: of pseudo ground truth, with its minimum score settled; None leaves the stage out.
    """

    bundle: Bundle
    rule: PseudoLabelConfig | None = None


@dataclass(frozen=True)
class ImageResults:
    """Results of one image with its tags given, as `training.evaluation.stored_results.read_tagged` returns them.

    Attributes:
        image: with its true objects, if they are known.
        weak: of the weak detector, with an explanation.
        final: of the whole bundle; the same as ``weak`` if there is no retrained detector.
    """

    image: TaggedImage
    weak: Json
    final: Json


def count_lost_objects(chain: Chain, results: Sequence[ImageResults]) -> Json:
    """Return at which stage each true object was lost: ``objects``, ``rows`` and ``per_class``.

    Each row has the ``stage``, its ``objects``, these ``per_100`` of all objects and the ``sentence`` on them. Rows
    without objects are there too. Difficult objects are left out.

    Raises:
        UserError: no image has a true object.
    """
    lost = [pair for one in results for pair in _lost_objects(chain, one)]
    if not lost:
        raise UserError("data: no image has a true object: give a data set with boxes beside the tags")
    counts = Counter(stage for _, stage in lost)
    per_class = {
        label: dict(Counter(stage for name, stage in lost if name == label))
        for label in sorted({label for label, _ in lost})
    }
    return {"objects": len(lost), "rows": _rows(counts, OBJECT_STAGES, "objects"), "per_class": per_class}


def count_lost_tags(chain: Chain, results: Sequence[ImageResults]) -> Json:
    """Return at which stage each tag was lost, as far as can be told without boxes: ``tags`` and ``rows``."""
    counts = Counter(_lost_tag(chain, one, tag) for one in results for tag in one.image.tags)
    return {"tags": counts.total(), "rows": _rows(counts, TAG_STAGES, "tags")}


def _rows(counts: Mapping[str, int], sentences: Mapping[str, str], unit: str) -> list[Json]:
    total = max(1, sum(counts.values()))
    return [
        {"stage": stage, unit: counts.get(stage, 0), "per_100": round(100 * counts.get(stage, 0) / total, 1)}
        | {"sentence": sentence}
        for stage, sentence in sentences.items()
    ]


def _lost_objects(chain: Chain, results: ImageResults) -> list[tuple[str, str]]:
    """Return label and stage of each object of an image."""
    pairs = []
    for label in sorted({thing.label for thing in results.image.objects}):
        things = [thing for thing in results.image.objects if thing.label == label]
        stages = _stages_of_class(chain, results, label, things)
        pairs += [(label, stage) for thing, stage in zip(things, stages, strict=True) if not thing.difficult]
    return pairs


def _stages_of_class(chain: Chain, results: ImageResults, label: str, things: Sequence[TrueObject]) -> list[str]:
    index = chain.bundle.labels.index(label)
    if index is None:
        return ["unknown_class"] * len(things)
    truth = true_boxes(things)
    shown = [row for row in _rows_of(results.final, chain.bundle, index) if row["shown"]]
    ious = own_ious(_boxes(shown), truth)
    passed = _passed(chain, results, index, truth)
    return [_stage(float(iou), {name: bool(flags[g]) for name, flags in passed.items()}) for g, iou in enumerate(ious)]


def _stage(final_iou: float, passed: Mapping[str, bool]) -> str:
    if final_iou >= HIT_IOU:
        return FOUND if final_iou >= GOOD_IOU else POOR_BOX
    return next((name for name, flag in passed.items() if not flag), RETRAINING)


def _passed(chain: Chain, results: ImageResults, index: int, truth: Float32) -> dict[str, Flags]:
    """Return whether each object [G] of a class passes the test of each stage before the last, in their order."""
    bundle, explained = chain.bundle, results.weak["explain"]
    tag = next((row for row in explained["tags"] if bundle.labels.index(row["label"]) == index), None)
    found = _rows_of(results.weak, bundle, index)
    sure = [row for row in found if row["shown"]]
    points_xy = _points(tag["peaks"] if tag else ())
    passed = {
        "no_proposal": pairwise_iou(truth, _boxes(explained["proposals"])).max(axis=1, initial=0) >= HIT_IOU,
        "tag_not_seen": np.full(len(truth), _is_seen(tag)),
        "no_peak": points_in_boxes(points_xy, truth).any(axis=0),
        "other_box": own_ious(_boxes(found), truth) >= HIT_IOU,
        "low_score": own_ious(_boxes(sure), truth) >= HIT_IOU,
    }
    if chain.rule is not None:
        labelled = [thing.box_xyxy for thing in _pseudo_objects(chain, results) if thing.label == index]
        passed["no_pseudo_label"] = own_ious(_as_boxes(labelled), truth) >= HIT_IOU
    return passed


def _lost_tag(chain: Chain, results: ImageResults, tag: str) -> str:
    bundle, explained = chain.bundle, results.weak["explain"]
    index = bundle.labels.index(tag)
    if index is None:
        return "unknown_class"
    row = next((row for row in explained["tags"] if bundle.labels.index(row["label"]) == index), None)
    peaks_xy = _points(row["peaks"] if row else ())[:1]
    weak, final = (
        any(found["shown"] for found in _rows_of(result, bundle, index)) for result in (results.weak, results.final)
    )
    passed = {
        "tag_not_seen": _is_seen(row),
        "no_proposal": bool(points_in_boxes(peaks_xy, _boxes(explained["proposals"])).any()),
        "low_score": weak,
    }
    return FOUND if final else next((name for name, flag in passed.items() if not flag), RETRAINING)


def own_ious(boxes_xyxy: Float32, truth_xyxy: Float32) -> Float32:
    """Return the best IoU [G] of each object among those of the boxes [D,4] that overlap no other object more.

    Two things beside each other do not share one box.
    """
    ious = pairwise_iou(boxes_xyxy, truth_xyxy)  # [D,G]
    own = np.where(ious == ious.max(axis=1, keepdims=True, initial=0), ious, 0)
    best: Float32 = own.max(axis=0, initial=0)
    return best


def _is_seen(tag: Json | None) -> bool:
    return tag is not None and tag["classifier_score"] >= tag["classifier_threshold"]


def detected_of(result: Json, bundle: Bundle) -> Detected:
    """Return a result's detections of the bundle's classes, as pseudo ground truth takes them."""
    rows = [(row, index) for row in result["detections"] if (index := bundle.labels.index(row["label"])) is not None]
    return Detected(
        _boxes([row for row, _ in rows]),
        np.array([row["score"] for row, _ in rows], np.float32),
        np.array([index for _, index in rows], np.int64),
        np.array([row["source"] == "detector" for row, _ in rows], np.bool_),
    )


def _pseudo_objects(chain: Chain, results: ImageResults) -> Sequence[Any]:
    assert chain.rule is not None, "the caller checks"
    found = detected_of(results.weak, chain.bundle)
    return label_image(chain.rule, chain.bundle, results.image, found, chain.bundle.labels).objects


def _rows_of(result: Json, bundle: Bundle, index: int) -> list[Json]:
    return [row for row in result["detections"] if bundle.labels.index(row["label"]) == index]


def _boxes(rows: Iterable[Mapping[str, Any]]) -> Float32:
    return _as_boxes([row["box_xyxy"] for row in rows])


def _as_boxes(boxes: Sequence[Any]) -> Float32:
    return np.array(boxes, np.float32).reshape(-1, 4)


def _points(peaks: Iterable[Mapping[str, Any]]) -> Float32:
    return np.array([peak["point_xy"] for peak in peaks], np.float32).reshape(-1, 2)
