"""Outlines: closed polygons or open strokes, moved, stretched and drawn."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from training.scenes.drawing.noise import Floats

Points = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Outline:
    """Closed polygons filled even-odd (the second and later ones cut holes), or one open stroke of `stroke_width`."""

    polygons_xy: tuple[Points, ...]
    stroke_width: float = 0.0

    def moved(self, scale: float, angle: float, shift_xy: Points) -> Outline:
        """Return it scaled, then turned by `angle` radians, then shifted."""
        turn = scale * np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
        return Outline(tuple(points @ turn + shift_xy for points in self.polygons_xy), self.stroke_width * scale)

    def stretched(self, factor_x: float, factor_y: float) -> Outline:
        """Return it stretched along the axes; a negative factor mirrors. A stroke keeps its width."""
        return Outline(tuple(points * (factor_x, factor_y) for points in self.polygons_xy), self.stroke_width)

    def bounds(self) -> tuple[Points, Points]:
        """Return the lowest and highest (x, y), the stroke's width included."""
        points = np.concatenate(self.polygons_xy)
        return points.min(axis=0) - self.stroke_width / 2, points.max(axis=0) + self.stroke_width / 2

    def area(self) -> float:
        if self.stroke_width > 0:
            steps = np.diff(self.polygons_xy[0], axis=0)
            return float(np.hypot(steps[:, 0], steps[:, 1]).sum() * self.stroke_width)
        areas = [abs(cv2.contourArea(points.astype(np.float32))) for points in self.polygons_xy]
        return max(areas[0] - sum(areas[1:]), 0.05 * areas[0])

    def coverage(self, size_hw: tuple[int, int]) -> Floats:
        """Return the antialiased coverage, float32 [H,W] in 0..1."""
        image = np.zeros(size_hw, np.uint8)
        fixed_point = [np.round(points * 16 - 8).astype(np.int32) for points in self.polygons_xy]
        if self.stroke_width > 0:
            cv2.polylines(image, fixed_point, False, 255, max(1, round(self.stroke_width)), cv2.LINE_AA, shift=4)
        else:
            cv2.fillPoly(image, fixed_point, 255, cv2.LINE_AA, shift=4)
        return image.astype(np.float32) * np.float32(1 / 255)


def joint_bounds(outlines: Sequence[Outline]) -> tuple[Points, Points]:
    """Return the lowest and highest (x, y) over all outlines."""
    bounds = [outline.bounds() for outline in outlines]
    return np.min([low for low, _ in bounds], axis=0), np.max([high for _, high in bounds], axis=0)
