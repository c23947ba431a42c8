"""Peaks of class activation maps: where to point Segment Anything."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from models.settings import PromptSettings


@dataclass(frozen=True)
class Peaks:
    """Columns of equal length N: ``points_xy`` [N,2] in pixels of the graph's input, ``labels`` and ``values`` [N]."""

    points_xy: npt.NDArray[np.float32]
    labels: npt.NDArray[np.int64]
    values: npt.NDArray[np.float32]

    def __len__(self) -> int:
        return len(self.values)


def find_peaks(
    maps_kchw: npt.NDArray[np.float32],
    class_indices: Sequence[int],
    side_px: int,
    valid_hw: tuple[int, int],
    settings: PromptSettings,
) -> Peaks:
    """Local maxima of the maps of the given classes, strongest first within a class.

    Args:
        maps_kchw: activation maps [K,C,h,w] over the whole square input, K kinds of map.
        class_indices: the classes asked for.
        side_px: side of the square input in pixels.
        valid_hw: part of the input that holds the picture, in pixels; padding has no peaks.
    """
    stride = side_px / maps_kchw.shape[-1]
    rows, columns = (max(1, int(np.ceil(length / stride))) for length in valid_hw)
    found = [
        (point_xy, label, value)
        for label in class_indices
        for map_hw in maps_kchw[:, label, :rows, :columns]
        for point_xy, value in _map_peaks(map_hw, stride, settings)
    ]
    points_xy = np.array([point_xy for point_xy, _, _ in found], np.float32).reshape(-1, 2)
    inside_xy = np.minimum(points_xy, np.array([valid_hw[1] - 1, valid_hw[0] - 1], np.float32))
    return Peaks(
        inside_xy,
        np.array([label for _, label, _ in found], np.int64),
        np.array([value for _, _, value in found], np.float32),
    )


def _map_peaks(
    map_hw: npt.NDArray[np.float32], stride: float, settings: PromptSettings
) -> list[tuple[tuple[float, float], float]]:
    low, high = float(map_hw.min()), float(map_hw.max())
    if high - low < 1e-6:
        return []
    normalised = (map_hw - low) / (high - low)
    window = max(3, round(settings.peak_window_px / stride) | 1)
    highest = cv2.dilate(normalised, np.ones((window, window), np.uint8))
    rows, columns = np.nonzero((normalised >= highest) & (normalised >= settings.peak_min_value))
    values = normalised[rows, columns]
    kept: list[tuple[tuple[float, float], float]] = []
    for i in np.argsort(-values, kind="stable"):
        point_xy = ((columns[i] + 0.5) * stride, (rows[i] + 0.5) * stride)
        apart_px = (settings.peak_window_px - 1) / 2
        if all(abs(point_xy[0] - x) + abs(point_xy[1] - y) >= apart_px for (x, y), _ in kept):
            kept.append((point_xy, float(values[i])))
    return kept[: settings.peak_max_count]
