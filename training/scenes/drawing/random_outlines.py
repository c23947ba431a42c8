"""Random outlines of the class-agnostic objects, about two units wide."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from training.scenes.drawing.outline import Outline, Points


def random_outline(rng: np.random.Generator) -> Outline:
    """Return one of `OUTLINES` at random, in its own units (about -1..1), not turned."""
    return OUTLINES[int(rng.choice(len(OUTLINES), p=_SHARES))](rng)


def ellipse(rng: np.random.Generator) -> Outline:
    return Outline((_ellipse_points(1.0, _aspect(rng, 0.25)),))


def rectangle(rng: np.random.Generator) -> Outline:
    """Return a rectangle, more or less rounded, sheared or tapered as a flat thing seen at an angle."""
    half_height = _aspect(rng, 0.2)
    exponent = float(rng.choice([2.6, 4.0, 12.0, 40.0]))
    turn = np.linspace(0, 2 * np.pi, 64, endpoint=False)
    cosine, sine = np.cos(turn), np.sin(turn)
    x = np.sign(cosine) * np.abs(cosine) ** (2 / exponent)
    y = np.sign(sine) * np.abs(sine) ** (2 / exponent) * half_height
    points = np.stack([x + rng.normal(0, 0.15) * y, y * (1 + rng.normal(0, 0.15) * x)], axis=1)
    return Outline((points,))


def convex_polygon(rng: np.random.Generator) -> Outline:
    angles = np.sort(rng.uniform(0, 2 * np.pi) + np.arange(n := int(rng.integers(3, 9))) * 2 * np.pi / n)
    angles = angles + rng.normal(0, 0.6 / n, n)
    return Outline((np.stack([np.cos(angles), _aspect(rng, 0.3) * np.sin(angles)], axis=1),))


def star_polygon(rng: np.random.Generator) -> Outline:
    """Return a spiky, notched or concave polygon: its radii jump."""
    count = int(rng.integers(5, 18))
    angles = (np.arange(count) + rng.uniform(-0.35, 0.35, count)) * 2 * np.pi / count
    radii = rng.uniform(rng.uniform(0.2, 0.7), 1.0, count)
    return Outline((_polar(angles, radii) * (1.0, _aspect(rng, 0.4)),))


def blob(rng: np.random.Generator) -> Outline:
    """Return a smooth closed curve: a few random harmonics of the radius."""
    angles = np.linspace(0, 2 * np.pi, 72, endpoint=False)
    harmonics = np.arange(1, 7)
    weights = rng.normal(0, 1, (2, 6)) * rng.uniform(0.1, 0.45) / harmonics**0.8
    waves = weights[0] @ np.cos(harmonics[:, None] * angles) + weights[1] @ np.sin(harmonics[:, None] * angles)
    return Outline((_polar(angles, np.exp(np.clip(waves, -1.5, 0.9))) * (1.0, _aspect(rng, 0.4)),))


def crumpled(rng: np.random.Generator) -> Outline:
    """Return a blob with rough edges, like a jagged stone or scrap of foil."""
    smooth = blob(rng).polygons_xy[0]
    roughness = 1.0 + rng.normal(0, rng.uniform(0.01, 0.06), len(smooth))[:, None]
    return Outline((smooth * roughness,))


def capsule(rng: np.random.Generator) -> Outline:
    radius = float(np.exp(rng.uniform(np.log(0.06), np.log(0.6))))
    taper = rng.uniform(0.5, 1.0)
    left = _arc(np.array([-1.0, 0.0]), radius, np.pi / 2, 3 * np.pi / 2)
    right = _arc(np.array([1.0, 0.0]), radius * taper, -np.pi / 2, np.pi / 2)
    return Outline((np.concatenate([left, right]),))


def bar(rng: np.random.Generator) -> Outline:
    """Return a long straight bar with square, pointed or widened ends."""
    half, end, tip = rng.uniform(0.025, 0.14), rng.uniform(0.2, 2.2), rng.uniform(0.0, 0.2)
    upper = np.array([[-1, half], [0.6, half], [0.6 + tip, half * end], [1.0, half * end * rng.uniform(0, 1)]])
    return Outline((np.concatenate([upper, upper[::-1] * (1, -1)]),))


def strand(rng: np.random.Generator) -> Outline:
    """Return a long thin bent thing: an open stroke along a wandering path."""
    steps = int(rng.integers(8, 40))
    headings = np.cumsum(rng.normal(rng.normal(0, 0.1), rng.uniform(0.02, 0.45), steps))
    path = np.cumsum(np.stack([np.cos(headings), np.sin(headings)], axis=1), axis=0)
    path -= path.mean(axis=0)
    path /= np.abs(path).max()
    return Outline((_smoothed(path),), stroke_width=float(np.exp(rng.uniform(np.log(0.03), np.log(0.22)))))


def ring(rng: np.random.Generator) -> Outline:
    """Return a ring or plate with a hole of its own shape, seen straight or at an angle."""
    outer = [ellipse, convex_polygon, rectangle, blob][int(rng.integers(4))](rng).polygons_xy[0]
    inner = outer if rng.random() < 0.6 else _ellipse_points(0.6, 0.6 * float(np.ptp(outer[:, 1])) / 2)
    hole = inner * rng.uniform(0.25, 0.85) + rng.normal(0, 0.03, 2)
    return Outline((outer, hole))


def perforated(rng: np.random.Generator) -> Outline:
    """Return a plate with several small round holes."""
    plate = rectangle(rng).polygons_xy[0]
    half_height = float(np.abs(plate[:, 1]).max())
    radius = 0.3 * half_height
    centres = np.linspace(-0.65, 0.65, int(rng.integers(1, 5)))
    holes = [_ellipse_points(radius, radius) + np.array([x, 0.0]) for x in centres]
    return Outline((plate, *holes))


def bracket(rng: np.random.Generator) -> Outline:
    """Return a thick bent path in the shape of an L, U, T or C."""
    corner = np.array([[-1, 0.9], [-1, -0.9], [1, -0.9], [1, 0.9]]) * (1.0, _aspect(rng, 0.3))
    path = corner[: int(rng.integers(3, 5))]
    return Outline((path,), stroke_width=rng.uniform(0.15, 0.55))


OUTLINES: tuple[Callable[[np.random.Generator], Outline], ...] = (
    ellipse,
    rectangle,
    convex_polygon,
    star_polygon,
    blob,
    crumpled,
    capsule,
    bar,
    strand,
    ring,
    perforated,
    bracket,
)
_SHARES = np.array([0.08, 0.12, 0.08, 0.07, 0.10, 0.10, 0.11, 0.09, 0.10, 0.08, 0.03, 0.04])


def _aspect(rng: np.random.Generator, lowest: float) -> float:
    return float(np.exp(rng.uniform(np.log(lowest), 0.0)))


def _polar(angles: Points, radii: Points) -> Points:
    return np.stack([radii * np.cos(angles), radii * np.sin(angles)], axis=1)


def _ellipse_points(half_width: float, half_height: float) -> Points:
    angles = np.linspace(0, 2 * np.pi, 48, endpoint=False)
    return np.stack([half_width * np.cos(angles), half_height * np.sin(angles)], axis=1)


def _arc(centre_xy: Points, radius: float, start: float, stop: float) -> Points:
    angles = np.linspace(start, stop, 16)
    return centre_xy + _polar(angles, np.full(16, radius))


def _smoothed(path: Points) -> Points:
    """Return the path after two rounds of Chaikin's corner cutting."""
    for _ in range(2):
        inner = np.stack([0.75 * path[:-1] + 0.25 * path[1:], 0.25 * path[:-1] + 0.75 * path[1:]], axis=1)
        path = np.concatenate([path[:1], inner.reshape(-1, 2), path[-1:]])
    return path
