"""How the rules of pseudo ground truth compare on images with true boxes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from models.bundle import Bundle
from models.labels import LabelSet
from training.data.tagged import TaggedImage
from training.pseudo_labels.config import PseudoLabelConfig, Teacher
from training.pseudo_labels.quality import count_hits_by_class
from training.pseudo_labels.selection import best_scores, label_image, with_min_score
from training.pseudo_labels.store import Detected

STEPS = tuple(step / 10 for step in range(1, 11))
MAX_IMAGES = 2000
Point = dict[str, Any]


@dataclass(frozen=True)
class _Known:
    """Images with true boxes, what the detector found in each, and the data set's labels."""

    bundle: Bundle
    images: tuple[tuple[TaggedImage, Detected], ...]
    labels: LabelSet

    def measure(self, config: PseudoLabelConfig) -> Point:
        rows = [label_image(config, self.bundle, image, found, self.labels) for image, found in self.images]
        hits, counted, objects = count_hits_by_class(rows, self.labels).sum(axis=0).tolist()
        return {
            "precision": round(hits / max(1, counted), 4),
            "recall": round(hits / max(1, objects), 4),
            "instances_per_image": round(counted / len(rows), 4),
        }


def compare_modes(
    config: PseudoLabelConfig,
    bundle: Bundle,
    images: Sequence[TaggedImage],
    detected: Sequence[Detected],
    labels: LabelSet,
) -> dict[str, Any]:
    """Return precision and recall of ``top1``, and of the other modes over the range of their setting.

    At most about `MAX_IMAGES` images with true boxes are measured, spread evenly. ``at_precision_of_top1`` has for
    each mode the point of highest recall among those at least as precise as ``top1``, or null. That is the fair
    comparison of how many true objects they find. True boxes pick that point: it says what a mode can do, and not
    what a setting picked without boxes will do.
    """
    pairs = [(image, found) for image, found in zip(images, detected, strict=True) if image.objects]
    known = _Known(bundle, tuple(pairs[:: max(1, len(pairs) // MAX_IMAGES)]), labels)
    adaptive = config
    if config.mode != "adaptive":
        adaptive = with_min_score(replace(config, mode="adaptive", min_score=None), detected)
    threshold = replace(config, mode="threshold")
    top1 = {"boxes": 1, **known.measure(replace(config, mode="top1"))}
    points = {
        "adaptive": [{"keep_share": s, **known.measure(replace(adaptive, keep_share=s))} for s in STEPS],
        "threshold": [
            {"min_score": s, **known.measure(replace(threshold, min_score=s))}
            for s in _min_scores(known, config.teacher)
        ],
    }
    best = {name: _best_recall(rows, top1["precision"]) for name, rows in points.items()}
    return {"top1": top1, "at_precision_of_top1": best, **points}


def _min_scores(known: _Known, teacher: Teacher) -> list[float]:
    """Return quantiles of the best boxes' scores, because each detector has its own scale."""
    best = best_scores([found for _, found in known.images], teacher)
    return [round(float(score), 6) for score in np.quantile(best, STEPS[:-1])] if best else []


def _best_recall(points: Sequence[Point], min_precision: float) -> Point | None:
    precise = [point for point in points if point["precision"] >= min_precision]
    return max(precise, key=lambda point: point["recall"], default=None)
