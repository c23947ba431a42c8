"""Sums of what the pipeline found on each image, and the evaluation's report from them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any

import numpy as np
from pycocotools import mask as coco_mask

from models.boxes import pairwise_iou
from training.data.tagged import TrueObject
from training.metrics.average_precision import Interpolation, average_precision, recall_at
from training.metrics.hits import (
    HIT_IOU,
    Matches,
    difficult_flags,
    is_localised,
    match_as_coco,
    match_as_voc,
    true_boxes,
)
from training.metrics.predictions import NO_PREDICTIONS, HitTally, Predictions
from weaksam.arrays import Flags, Float32
from weaksam.errors import UserError

Report = dict[str, Any]

Match = Callable[[Float32, Float32, Flags, float], Matches]

COCO_IOUS = (0.5, 0.55, 0.6, 0.65, 0.7, 0.75, 0.8, 0.85, 0.9, 0.95)
# besides 0.5: those that papers on weakly supervised segmentation give
MASK_IOUS = (0.25, 0.7, 0.75)


@dataclass(frozen=True)
class ImageProposals:
    """The proposals of one image: boxes [P,4] in its pixels, predicted IoU [P]."""

    boxes_xyxy: Float32
    predicted_iou: Float32

    def naive_predictions(self, labels: Sequence[str]) -> Predictions:
        """Return the baseline that ignores classes: for every tag the box of highest predicted IoU."""
        if not len(self.predicted_iou):
            return NO_PREDICTIONS
        best = [int(self.predicted_iou.argmax())] * len(labels)
        return Predictions(tuple(labels), self.predicted_iou[best], self.boxes_xyxy[best])


class PrecisionTally:
    """Detections and true objects by class, for average precision of boxes or of masks at the given IoUs.

    ``match`` is VOC's rule, `match_as_voc`, or COCO's; ``interpolation`` is what `mean` takes.
    """

    def __init__(
        self,
        overlaps: Callable[[Predictions, Sequence[TrueObject]], Float32],
        ious: Sequence[float] = (HIT_IOU,),
        match: Match = match_as_voc,
        interpolation: Interpolation = "area",
    ) -> None:
        self._interpolation = interpolation
        self._overlaps = overlaps
        self._ious = ious
        self._match = match
        self._scores: dict[str, list[Float32]] = defaultdict(list)
        self._matches: dict[tuple[str, float], list[Matches]] = defaultdict(list)
        self._positives: dict[str, int] = defaultdict(int)

    def add(self, found: Predictions, truth: Sequence[TrueObject]) -> None:
        for label in {*found.labels, *(thing.label for thing in truth)}:
            mine = found.for_label(label)
            things = [thing for thing in truth if thing.label == label]
            difficult = difficult_flags(things)
            self._positives[label] += int(np.count_nonzero(~difficult))
            self._scores[label].append(mine.scores)
            overlaps = self._overlaps(mine, things)
            for iou in self._ious:
                self._matches[label, iou].append(self._match(mine.scores, overlaps, difficult, iou))

    def by_class(self, interpolation: Interpolation = "area", iou: float = HIT_IOU) -> dict[str, float]:
        """Return the average precision of each class that has true objects."""
        return {
            label: average_precision(
                np.concatenate(self._scores[label]),
                np.concatenate(self._matches[label, iou]),
                positives,
                interpolation,
            )
            for label, positives in sorted(self._positives.items())
            if positives
        }

    def mean(self, ious: Sequence[float]) -> float:
        """Return average precision, averaged over classes and then over IoUs."""
        return _mean(float(np.mean(list(self.by_class(self._interpolation, iou).values()))) for iou in ious)


def all_have_masks(truth: Sequence[TrueObject]) -> bool:
    """Return whether masks can be measured on an image: of an object without one, a right mask would count as wrong."""
    return all(thing.mask_rle is not None for thing in truth)


def box_overlaps(found: Predictions, things: Sequence[TrueObject]) -> Float32:
    """Return the IoU [D,G] of boxes."""
    return pairwise_iou(found.boxes_xyxy, true_boxes(things))


def mask_overlaps(found: Predictions, things: Sequence[TrueObject]) -> Float32:
    """Return the IoU [D,G] of masks; every detection and object must have one."""
    if not found.masks or not things:
        return np.zeros((len(found.scores), len(things)), np.float32)
    truth = [thing.mask_rle for thing in things]
    return np.asarray(coco_mask.iou(list(found.masks), truth, [0] * len(truth)), dtype=np.float32)


def coco_box_overlaps(found: Predictions, things: Sequence[TrueObject]) -> Float32:
    """Return `box_overlaps`, but for crowds the share [D,G] of the detection that lies inside."""
    found_xywh, truth_xywh = (
        np.concatenate([xyxy[:, :2], xyxy[:, 2:] - xyxy[:, :2]], axis=1).astype(np.float64)
        for xyxy in (found.boxes_xyxy, true_boxes(things))
    )
    return _coco_overlaps(found_xywh, truth_xywh, things)


def coco_mask_overlaps(found: Predictions, things: Sequence[TrueObject]) -> Float32:
    """Return `mask_overlaps`, but for crowds the share [D,G] of the detection that lies inside."""
    return _coco_overlaps(list(found.masks or ()), [thing.mask_rle for thing in things], things)


def _coco_overlaps(found: Any, truth: Any, things: Sequence[TrueObject]) -> Float32:
    if not len(found) or not things:
        return np.zeros((len(found), len(things)), np.float32)
    return np.asarray(coco_mask.iou(found, truth, [int(thing.difficult) for thing in things]), dtype=np.float32)


class LocalisationTally:
    """CorLoc's counts: by class, in which images with true objects of it the best detection hits one."""

    def __init__(self) -> None:
        self._hits: dict[str, list[bool]] = defaultdict(list)

    def add(self, found: Predictions, truth: Sequence[TrueObject]) -> None:
        """Count one image; difficult objects neither count nor can be hit."""
        for label in sorted({thing.label for thing in truth if not thing.difficult}):
            mine = found.for_label(label)
            things = [thing for thing in truth if thing.label == label and not thing.difficult]
            self._hits[label].append(is_localised(mine.scores, box_overlaps(mine, things)))

    def share(self, label: str) -> float:
        """Return the share of hits among one class's images."""
        return _mean(self._hits[label])

    def mean(self) -> float:
        """Return the share of hits among all pairs of an image and a class in it."""
        return _mean(chain(*self._hits.values()))


class Scorecard:
    """One evaluation: `add` each image once, and `add_returned`, then `report`."""

    def __init__(self) -> None:
        self._precision = {
            "ap50": PrecisionTally(box_overlaps),
            "ap50_tagged": PrecisionTally(box_overlaps),
            "naive_ap50_tagged": PrecisionTally(box_overlaps),
        }
        self._masks = PrecisionTally(mask_overlaps, (HIT_IOU, *MASK_IOUS))
        self._coco = PrecisionTally(coco_box_overlaps, COCO_IOUS, match_as_coco, "101_point")
        self._coco_masks = PrecisionTally(coco_mask_overlaps, COCO_IOUS, match_as_coco, "101_point")
        self._localised = {"corloc": LocalisationTally(), "naive_corloc": LocalisationTally()}
        self._returned = {"": HitTally(), "_tagged": HitTally()}
        self._best_ious: dict[str, list[float]] = defaultdict(list)
        self._proposal_counts: list[int] = []

    def add(
        self, truth: Sequence[TrueObject], tagged: Predictions, predicted: Predictions, proposed: ImageProposals
    ) -> None:
        """Add an image.

        Args:
            truth: its true objects.
            tagged: what was found with its tags given.
            predicted: what was found without tags.
            proposed: the proposals of the run with tags.
        """
        labels = sorted({thing.label for thing in truth})
        naive = proposed.naive_predictions(labels)
        self._precision["ap50"].add(predicted, truth)
        self._precision["ap50_tagged"].add(tagged, truth)
        self._precision["naive_ap50_tagged"].add(naive, truth)
        if tagged.masks is not None and all_have_masks(truth):
            self._masks.add(tagged, truth)
            self._coco_masks.add(tagged, truth)
        self._coco.add(predicted, truth)
        self._localised["corloc"].add(tagged, truth)
        self._localised["naive_corloc"].add(naive, truth)
        self._proposal_counts.append(len(proposed.boxes_xyxy))
        for thing in truth:
            if not thing.difficult:
                best = pairwise_iou(true_boxes([thing]), proposed.boxes_xyxy).max(initial=0.0)
                self._best_ious[thing.label].append(float(best))

    def add_returned(self, truth: Sequence[TrueObject], tagged: Predictions, predicted: Predictions) -> None:
        """Add what the service returns of an image at its own thresholds, with its tags given and without."""
        self._returned["_tagged"].add(tagged, truth)
        self._returned[""].add(predicted, truth)

    def report(self) -> Report:
        """Return overall figures and `per_class`.

        Average precision is averaged over classes, all else over objects, or over pairs of image and tag. `ap50` and
        `ap50_to_95` are of what is found without tags; `ap50_to_95` follows COCO's rule over its ten IoUs. Figures of
        masks are with tags, and are there only if there are true masks. `returned_precision` and `returned_recall`, and
        the same `_tagged`, are of the boxes that the service returns at its own thresholds; None if nothing was.

        Raises:
            UserError: no image had a true object.
        """
        if not self._best_ious:
            raise UserError("data: no image has a true object: give a data set with boxes beside the tags")
        tallies = self._precision | ({"mask_ap50": self._masks} if self._masks.by_class() else {})
        eleven = {f"{name}_11_point": _mean(tally.by_class("11_point").values()) for name, tally in tallies.items()}
        return {
            **{name: _mean(tally.by_class().values()) for name, tally in tallies.items()},
            **eleven,
            "ap50_to_95": self._coco.mean(COCO_IOUS),
            **(self._at_other_ious() if "mask_ap50" in tallies else {}),
            **{name: tally.mean() for name, tally in self._localised.items()},
            **self._of_returned(),
            "proposal_recall": recall_at(np.array(list(chain(*self._best_ious.values())))),
            "proposals_per_image": _mean(self._proposal_counts),
            "images": len(self._proposal_counts),
            "objects": sum(map(len, self._best_ious.values())),
            "per_class": self._per_class(tallies),
        }

    def _of_returned(self, label: str | None = None) -> dict[str, float | None]:
        rows = self._returned.items()
        precision = {f"returned_precision{way}": tally.precision(label) for way, tally in rows}
        return precision | {f"returned_recall{way}": tally.recall(label) for way, tally in rows}

    def _at_other_ious(self) -> dict[str, float]:
        at_one = {f"mask_ap{iou * 100:.0f}": self._masks.mean([iou]) for iou in MASK_IOUS}
        return at_one | {"mask_ap50_to_95": self._coco_masks.mean(COCO_IOUS)}

    def _per_class(self, tallies: dict[str, PrecisionTally]) -> dict[str, Report]:
        precision = {name: tally.by_class() for name, tally in tallies.items()}
        return {
            label: {
                **{name: round(values[label], 4) for name, values in precision.items() if label in values},
                **{name: tally.share(label) for name, tally in self._localised.items()},
                **self._of_returned(label),
                "proposal_recall": recall_at(np.array(ious)),
                "objects": len(ious),
            }
            for label, ious in sorted(self._best_ious.items())
        }


def _mean(values: Iterable[float]) -> float:
    return round(float(np.mean(list(values))), 4)
