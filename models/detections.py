"""The container that detections travel in."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np
import numpy.typing as npt

Index = npt.NDArray[np.bool_] | npt.NDArray[np.integer] | slice


@dataclass(frozen=True)
class Detections:
    """Columns of equal length N.

    Attributes:
        boxes_xyxy: [N,4] float32, half-open, in the frame the producer states.
        scores: [N] float32.
        labels: [N] int64, class indices.
        sources: [N] int64, the row that each came from, of the detector's output or of the proposals.
        by_detector: [N] bool, whether it came from the detector's output.

    Raises ValueError where shapes disagree.
    """

    boxes_xyxy: npt.NDArray[np.float32]
    scores: npt.NDArray[np.float32]
    labels: npt.NDArray[np.int64]
    sources: npt.NDArray[np.int64]
    by_detector: npt.NDArray[np.bool_]

    def __post_init__(self) -> None:
        count = len(self.scores)
        if self.boxes_xyxy.shape != (count, 4):
            raise ValueError(f"boxes_xyxy must have shape ({count}, 4), got {self.boxes_xyxy.shape}")
        for name in ("labels", "sources", "by_detector"):
            if getattr(self, name).shape != (count,):
                raise ValueError(f"{name} must have shape ({count},), got {getattr(self, name).shape}")

    def __len__(self) -> int:
        return len(self.scores)

    def __getitem__(self, index: Index) -> Detections:
        return Detections(*(getattr(self, field.name)[index] for field in fields(self)))

    @staticmethod
    def empty() -> Detections:
        nothing = np.zeros(0, np.int64)
        return Detections(
            np.zeros((0, 4), np.float32), np.zeros(0, np.float32), nothing, nothing, nothing.astype(np.bool_)
        )

    @staticmethod
    def concat(parts: Sequence[Detections]) -> Detections:
        """Return one container with the rows of all parts in their order."""
        parts = [Detections.empty(), *parts]
        columns = ([getattr(part, field.name) for part in parts] for field in fields(Detections))
        return Detections(*(np.concatenate(column) for column in columns))
