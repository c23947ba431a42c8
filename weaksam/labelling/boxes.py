"""How far two boxes lie on each other; boxes are half-open ``x0, y0, x1, y1`` in pixels.

The same as `models.boxes`, one pair at a time: what people import does without `models`.
"""

from __future__ import annotations

from collections.abc import Sequence


def box_iou(first_xyxy: Sequence[float], second_xyxy: Sequence[float]) -> float:
    """Return the intersection over union of two boxes; 0 if both are empty."""
    both = _intersection(first_xyxy, second_xyxy)
    union = _area(first_xyxy) + _area(second_xyxy) - both
    return both / union if both else 0.0


def covered_share(first_xyxy: Sequence[float], second_xyxy: Sequence[float]) -> float:
    """Return which share of the smaller box lies in the other one; 0 if it is empty."""
    smaller = min(_area(first_xyxy), _area(second_xyxy))
    return _intersection(first_xyxy, second_xyxy) / smaller if smaller > 0 else 0.0


def _intersection(first_xyxy: Sequence[float], second_xyxy: Sequence[float]) -> float:
    width = min(first_xyxy[2], second_xyxy[2]) - max(first_xyxy[0], second_xyxy[0])
    height = min(first_xyxy[3], second_xyxy[3]) - max(first_xyxy[1], second_xyxy[1])
    return max(0.0, width) * max(0.0, height)


def _area(box_xyxy: Sequence[float]) -> float:
    return (box_xyxy[2] - box_xyxy[0]) * (box_xyxy[3] - box_xyxy[1])
