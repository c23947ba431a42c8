"""What one run found in one image, and hits among it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from operator import add

import numpy as np

from training.data.tagged import TrueObject
from training.metrics.hits import HitCount, count_hits
from weaksam.arrays import Float32
from weaksam.mask_schemas import Rle


@dataclass(frozen=True)
class Predictions:
    """What one run found in one image: label names, scores [D], boxes [D,4] and D masks if there are masks."""

    labels: tuple[str, ...]
    scores: Float32
    boxes_xyxy: Float32
    masks: tuple[Rle, ...] | None = None

    def for_label(self, label: str) -> Predictions:
        """Return the predictions of one label."""
        picked = [index for index, name in enumerate(self.labels) if name == label]
        masks = None if self.masks is None else tuple(self.masks[index] for index in picked)
        return Predictions((label,) * len(picked), self.scores[picked], self.boxes_xyxy[picked], masks)


NO_PREDICTIONS = Predictions((), np.zeros(0, np.float32), np.zeros((0, 4), np.float32))


class HitTally:
    """Hits, misses and true objects by class among boxes that are returned, at IoU 0.5 by VOC's rule."""

    def __init__(self) -> None:
        self._counts: dict[str, HitCount] = defaultdict(lambda: HitCount(0, 0, 0))

    def add(self, found: Predictions, truth: Sequence[TrueObject]) -> None:
        for label in {*found.labels, *(thing.label for thing in truth)}:
            mine = found.for_label(label)
            more = count_hits(mine.boxes_xyxy, mine.scores, [thing for thing in truth if thing.label == label])
            self._counts[label] = HitCount(*map(add, self._counts[label], more))

    def precision(self, label: str | None = None) -> float | None:
        """Return the share of hits among what is returned, of one class or all; None if nothing is."""
        hits, misses, _ = self._sum(label)
        return round(hits / (hits + misses), 4) if hits + misses else None

    def recall(self, label: str | None = None) -> float | None:
        """Return the share of true objects that are hit, of one class or all; None if there is none."""
        hits, _, objects = self._sum(label)
        return round(hits / objects, 4) if objects else None

    def _sum(self, label: str | None) -> HitCount:
        counts = self._counts.values() if label is None else [self._counts[label]]
        return HitCount(*map(sum, zip(HitCount(0, 0, 0), *counts, strict=True)))
