"""Class-agnostic random objects, from a speck of six pixels to one that fills half the image.

They pre-train the compact SAM, so they must not be the categories of `catalogue.py`. Otherwise it would have learnt
their masks before a weakly supervised run sees its first tag.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from training.scenes.drawing.noise import Floats
from training.scenes.drawing.object_image import ObjectImage
from training.scenes.drawing.outline import Outline, Points, joint_bounds
from training.scenes.drawing.random_outlines import bar, bracket, capsule, random_outline, strand
from training.scenes.drawing.textures import Surface, emboss, paint_surface, random_colour

MIN_SIZE_PX = 8.0
Build = Callable[[np.random.Generator], list[Outline]]


def random_size_px(rng: np.random.Generator, largest_px: float) -> float:
    """Return the square root of an object's area: log-uniform from 8 px to `largest_px`, leaning to the small side."""
    return float(MIN_SIZE_PX * (largest_px / MIN_SIZE_PX) ** (rng.random() ** 1.35))


def draw_shape(
    rng: np.random.Generator,
    sqrt_area_px: float,
    longest_px: float,
    background_rgb: Floats,
    light_xy: tuple[float, float],
    build: Build | None = None,
    surface: Surface = paint_surface,
) -> ObjectImage:
    """Return an object of one to four touching parts.

    Args:
        rng: decides everything below that is random.
        sqrt_area_px: square root of its area, about.
        longest_px: bound of its length.
        background_rgb: float32 [3] below it: some objects take on most of that colour and can barely be seen.
        light_xy: unit vector towards the light.
        build: puts the parts together; None takes one of `BUILDS` at random.
        surface: what each part is covered with.
    """
    build = build or BUILDS[int(rng.choice(len(BUILDS), p=BUILD_SHARES))]
    parts = _fitted(build(rng), rng.uniform(0, 2 * np.pi), sqrt_area_px, longest_px)
    _, high = joint_bounds(parts)
    size_hw = (int(np.ceil(high[1])) + 3, int(np.ceil(high[0])) + 3)
    contrast = float(rng.choice([rng.uniform(0.08, 0.3), rng.uniform(0.3, 1.0), 1.0], p=[0.12, 0.33, 0.55]))
    rgb, alpha = _painted(rng, parts[0], size_hw, light_xy, surface)
    for part in parts[1:]:
        covering, coverage = _painted(rng, part, size_hw, light_xy, surface)
        rgb += coverage[..., None] * (covering - rgb)
        alpha = np.maximum(alpha, coverage)
    if contrast < 1.0:
        rgb = background_rgb + np.float32(contrast) * (rgb - background_rgb)
    return ObjectImage(np.clip(rgb, 0.0, 1.0), alpha)


def _painted(
    rng: np.random.Generator, part: Outline, size_hw: tuple[int, int], light_xy: tuple[float, float], surface: Surface
) -> tuple[Floats, Floats]:
    """Return the part's surface and coverage.

    The surface goes on beyond the part's edges, so that half-covered pixels keep their full colour.
    """
    coverage = part.coverage(size_hw)
    painted = surface(rng, size_hw, random_colour(rng))
    if rng.random() < 0.7:
        emboss(painted, coverage, light_xy, rng.uniform(0.3, 1.6))
    return painted, coverage


def compound(rng: np.random.Generator) -> list[Outline]:
    """Return parts in one frame; each further part is centred on the outline of an earlier one, so that they touch."""
    parts = [random_outline(rng)]
    for _ in range(int(rng.choice(4, p=[0.55, 0.27, 0.12, 0.06]))):
        anchor = parts[int(rng.integers(len(parts)))].polygons_xy[0]
        scale = float(np.exp(rng.uniform(np.log(0.25), np.log(1.2))))
        parts.append(random_outline(rng).moved(scale, rng.uniform(0, 2 * np.pi), _pick(rng, anchor)))
    return parts


def _strung(rng: np.random.Generator) -> list[Outline]:
    """Return two to four parts of different thickness, end to end along one line."""
    parts, end = [], 0.0
    for _ in range(int(rng.integers(2, 5))):
        scale = float(np.exp(rng.uniform(np.log(0.15), np.log(1.2))))
        parts.append(random_outline(rng).moved(scale, rng.normal(0, 0.1), np.array([end + 0.9 * scale, 0.0])))
        end += 1.8 * scale
    return parts


def _spread(rng: np.random.Generator) -> list[Outline]:
    """Return two to five long parts that leave one place in several directions: branching and tangled things."""
    draw = LONG_OUTLINES[int(rng.integers(len(LONG_OUTLINES)))]
    spread, parts = rng.uniform(0.15, 1.6), []
    for _ in range(int(rng.integers(2, 6))):
        angle, scale = rng.normal(0, spread), rng.uniform(0.5, 1.0)
        out = 0.85 * scale * np.array([np.cos(angle), -np.sin(angle)]) + rng.normal(0, 0.06, 2)
        parts.append(draw(rng).moved(scale, -angle, out))
    if rng.random() < 0.4:
        parts.append(random_outline(rng).moved(rng.uniform(0.1, 0.4), rng.uniform(0, 2 * np.pi), np.zeros(2)))
    return parts


def _nested(rng: np.random.Generator) -> list[Outline]:
    """Return a part with one to three smaller ones on top: things with a rim, a face or a print."""
    parts = [random_outline(rng)]
    scale = 1.0
    for _ in range(int(rng.integers(1, 4))):
        scale *= rng.uniform(0.4, 0.85)
        inner = parts[0] if rng.random() < 0.5 else random_outline(rng)
        parts.append(inner.moved(scale, 0.0, rng.normal(0, 0.08, 2)))
    return parts


BUILDS = (compound, _strung, _spread, _nested)
BUILD_SHARES = (0.45, 0.22, 0.18, 0.15)
LONG_BUILDS = (_strung, _spread)
LONG_OUTLINES = (bar, capsule, strand, strand, bracket)


def _pick(rng: np.random.Generator, points: Points) -> Points:
    point: Points = points[int(rng.integers(len(points)))] * rng.uniform(0.5, 1.0)
    return point


def _fitted(parts: list[Outline], angle: float, sqrt_area_px: float, longest_px: float) -> list[Outline]:
    """Turn and scale the parts to the wanted area and length, with their lowest corner at (2, 2) px."""
    turned = [part.moved(1.0, angle, np.zeros(2)) for part in parts]
    low, high = joint_bounds(turned)
    scale = sqrt_area_px / np.sqrt(sum(part.area() for part in turned))
    scale = min(scale, longest_px / float((high - low).max()))
    placed = [part.moved(scale, 0.0, 2.0 - low * scale) for part in turned]
    return [_visible_stroke(part) for part in placed]


def _visible_stroke(part: Outline) -> Outline:
    return Outline(part.polygons_xy, max(part.stroke_width, 1.6)) if part.stroke_width > 0 else part
