"""Simple outlines in an object's own units, from which the categories are put together."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from training.scenes.drawing.outline import Outline, Points


def polygon(*points_xy: tuple[float, float]) -> Outline:
    return Outline((np.array(points_xy, dtype=np.float64),))


def box(x0: float, y0: float, x1: float, y1: float) -> Outline:
    return polygon((x0, y0), (x1, y0), (x1, y1), (x0, y1))


def tapered(x0: float, x1: float, half_start: float, half_end: float) -> Outline:
    """Return a bar along x whose half width runs from `half_start` to `half_end`."""
    return polygon((x0, -half_start), (x1, -half_end), (x1, half_end), (x0, half_start))


def capsule(x0: float, x1: float, half: float, y: float = 0.0) -> Outline:
    """Return a bar along x with round ends that lie inside x0..x1."""
    turn = np.linspace(-np.pi / 2, np.pi / 2, 12)
    right = np.stack([x1 - half + half * np.cos(turn), y + half * np.sin(turn)], axis=1)
    left = np.stack([x0 + half - half * np.cos(turn), y - half * np.sin(turn)], axis=1)
    return Outline((np.concatenate([right, left]),))


def disc(x: float, y: float, radius: float, radius_y: float | None = None) -> Outline:
    return Outline((circle_points(x, y, radius, radius if radius_y is None else radius_y),))


def washer(x: float, y: float, radius: float, hole: float, sides: int = 0) -> Outline:
    """Return a disc (or a regular polygon of `sides` sides) with a round hole."""
    outer = circle_points(x, y, radius, radius) if sides == 0 else corner_points(x, y, radius, sides)
    return Outline((outer, circle_points(x, y, hole, hole)))


def hexagon(x: float, y: float, radius: float) -> Outline:
    return Outline((corner_points(x, y, radius, 6),))


def path(points_xy: Points | Sequence[tuple[float, float]], width: float) -> Outline:
    """Return an open stroke along the points."""
    return Outline((np.asarray(points_xy, dtype=np.float64),), stroke_width=width)


def curve(control_xy: Sequence[tuple[float, float]], count: int = 24) -> Points:
    """Return points of the Bezier curve with the given control points."""
    points = np.repeat(np.asarray(control_xy, dtype=np.float64)[None], count, axis=0)
    share = np.linspace(0, 1, count)[:, None, None]
    while points.shape[1] > 1:
        points = points[:, :-1] * (1 - share) + points[:, 1:] * share
    drawn: Points = points[:, 0]
    return drawn


def band(points_xy: Points, half_start: float, half_end: float) -> Outline:
    """Return a closed band along a gently bent path; its half width runs from one value to the other."""
    steps = np.gradient(points_xy, axis=0)
    normals = np.stack([-steps[:, 1], steps[:, 0]], axis=1) / np.maximum(np.hypot(*steps.T), 1e-9)[:, None]
    half = np.linspace(half_start, half_end, len(points_xy))[:, None]
    return Outline((np.concatenate([points_xy + half * normals, (points_xy - half * normals)[::-1]]),))


def rough(rng: np.random.Generator, outline: Outline, amount: float) -> Outline:
    """Return the outline with each corner moved at random, as torn or broken things have it."""
    moved = [points + rng.normal(0, amount, points.shape) for points in outline.polygons_xy]
    return Outline(tuple(moved), outline.stroke_width)


def circle_points(x: float, y: float, radius_x: float, radius_y: float) -> Points:
    turn = np.linspace(0, 2 * np.pi, 48, endpoint=False)
    return np.stack([x + radius_x * np.cos(turn), y + radius_y * np.sin(turn)], axis=1)


def corner_points(x: float, y: float, radius: float, sides: int) -> Points:
    turn = np.arange(sides) * 2 * np.pi / sides
    return np.stack([x + radius * np.cos(turn), y + radius * np.sin(turn)], axis=1)
