"""Peaks of class activation maps: where to point Segment Anything."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import cv2
import numpy as np
import numpy.typing as npt

from models.settings import PromptSettings
from weaksam.arrays import Float32

CROSS = "cross_"  # maps of single heads: cross_<block>_<head>
KMEANS_ATTEMPTS = 4


class Peak(NamedTuple):
    """``point_xy`` in pixels of the graph's input, ``value`` in its min-max normalised map."""

    point_xy: tuple[float, float]
    value: float


@dataclass(frozen=True)
class Peaks:
    """Columns of equal length N: ``points_xy`` [N,2] in pixels of the graph's input, ``labels`` and ``values`` [N]."""

    points_xy: Float32
    labels: npt.NDArray[np.int64]
    values: Float32

    def __len__(self) -> int:
        return len(self.values)


def find_peaks(
    maps_kchw: Float32,
    class_indices: Sequence[int],
    side_px: int,
    valid_hw: tuple[int, int],
    settings: PromptSettings,
    map_kinds: Sequence[str],
) -> Peaks:
    """Return the local maxima of the maps of the given classes, strongest first within a map.

    The maps of single attention heads, whose names begin with ``cross_``, agree with each other more often than not:
    their peaks are merged by clustering, and follow those of the other maps.

    Args:
        maps_kchw: activation maps [K,C,h,w] over the whole square input, K kinds of map.
        class_indices: the classes asked for.
        side_px: side of the square input in pixels.
        valid_hw: part of the input that holds the image, in pixels; padding has no peaks.
        map_kinds: names of the K kinds.
    """
    stride = side_px / maps_kchw.shape[-1]
    rows, columns = valid_cells_hw(valid_hw, stride)
    found = []
    for label in class_indices:
        heads: list[Peak] = []
        for kind, map_hw in zip(map_kinds, maps_kchw[:, label, :rows, :columns], strict=True):
            if kind.startswith(CROSS):
                heads += _map_peaks(map_hw, stride, settings.cross_peak_window_px, settings)
            else:
                found += [(label, peak) for peak in _map_peaks(map_hw, stride, settings.peak_window_px, settings)]
        found += [(label, peak) for peak in merge_peaks(heads, settings.cross_clusters_share)]
    points_xy = np.array([peak.point_xy for _, peak in found], np.float32).reshape(-1, 2)
    inside_xy = np.minimum(points_xy, np.array([valid_hw[1] - 1, valid_hw[0] - 1], np.float32))
    return Peaks(
        inside_xy,
        np.array([label for label, _ in found], np.int64),
        np.array([peak.value for _, peak in found], np.float32),
    )


def valid_cells_hw(valid_hw: tuple[int, int], stride: float) -> tuple[int, int]:
    """Return how many rows and columns of a map hold the image; cells are ``stride`` pixels of the input apart."""
    rows, columns = (max(1, int(np.ceil(length / stride))) for length in valid_hw)
    return rows, columns


def normalise(map_hw: Float32) -> Float32:
    """Return a map [h,w] stretched to 0..1; a flat one becomes zero."""
    low, high = float(map_hw.min()), float(map_hw.max())
    if high - low < 1e-6:
        return np.zeros_like(map_hw)
    stretched: Float32 = (map_hw - low) / (high - low)
    return stretched


def merge_peaks(peaks: Sequence[Peak], clusters_share: float) -> list[Peak]:
    """Return the centres of k-means clusters, each with the value of its strongest peak, strongest first.

    Args:
        peaks: of several maps of one class.
        clusters_share: number of clusters as a share of the number of peaks; at least one cluster.
    """
    if not peaks:
        return []
    points_xy = np.array([[peak.point_xy] for peak in peaks], np.float32)  # [N,1,2]: a lone row [1,2] counts as two
    count = max(1, round(len(peaks) * clusters_share))
    criteria = (cv2.TERM_CRITERIA_EPS + cv2.TERM_CRITERIA_COUNT, 100, 0.01)
    cv2.setRNGSeed(0)  # its generator is the thread's own: equal peaks give equal clusters
    _, assigned, centres = cv2.kmeans(points_xy, count, None, criteria, KMEANS_ATTEMPTS, cv2.KMEANS_PP_CENTERS)  # type: ignore[call-overload]
    values = np.array([peak.value for peak in peaks])
    merged = [
        Peak((float(x), float(y)), float(values[assigned[:, 0] == cluster].max()))
        for cluster, (x, y) in enumerate(centres)
    ]
    return sorted(merged, key=lambda peak: (-peak.value, peak.point_xy))


def _map_peaks(map_hw: Float32, stride: float, window_px: int, settings: PromptSettings) -> list[Peak]:
    if settings.peak_grid == "input":
        height, width = (round(cells * stride) for cells in map_hw.shape)
        # Cubic, for the summit of a bilinear surface never leaves the middle of a cell.
        map_hw = np.asarray(cv2.resize(map_hw, (width, height), interpolation=cv2.INTER_CUBIC), np.float32)
        stride = 1.0
    normalised = normalise(map_hw)
    if not normalised.any():
        return []
    window = max(3, round(window_px / stride) | 1)
    highest = cv2.dilate(normalised, np.ones((window, window), np.uint8))
    rows, columns = np.nonzero((normalised >= highest) & (normalised >= settings.peak_min_value))
    values = normalised[rows, columns]
    apart_px = (window_px - 1) / 2
    kept: list[Peak] = []
    for i in np.argsort(-values, kind="stable"):
        x, y = point_xy = ((columns[i] + 0.5) * stride, (rows[i] + 0.5) * stride)
        if all(abs(x - peak.point_xy[0]) + abs(y - peak.point_xy[1]) >= apart_px for peak in kept):
            kept.append(Peak(point_xy, float(values[i])))
    return kept[: settings.peak_max_count]
