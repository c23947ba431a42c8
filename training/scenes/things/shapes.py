"""Class-agnostic random objects, from a speck of six pixels to a thing that fills half the picture.

They pre-train the compact SAM, so they must not be the tools that `tools.py` draws: otherwise masks of the scenes'
categories would have been taught before a weakly supervised run sees its first tag.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from training.scenes.drawing.noise import Floats
from training.scenes.drawing.outlines import bar, bracket, capsule, random_outline, strand
from training.scenes.drawing.sprite import Outline, Points, Sprite
from training.scenes.drawing.textures import emboss, paint_surface, random_colour

SMALLEST_PX = 8.0
Build = Callable[[np.random.Generator], list[Outline]]


def random_size_px(rng: np.random.Generator, largest_px: float) -> float:
    """Square root of an object's area: log-uniform between 8 px and `largest_px`, leaning to the small side."""
    return float(SMALLEST_PX * (largest_px / SMALLEST_PX) ** (rng.random() ** 1.35))


def draw_shape(
    rng: np.random.Generator,
    sqrt_area_px: float,
    longest_px: float,
    ground_rgb: Floats,
    light_xy: tuple[float, float],
    build: Build | None = None,
) -> Sprite:
    """One object of one to four touching parts, about `sqrt_area_px`² pixels large and at most `longest_px` long.

    `ground_rgb` (float32 [3]) is what it lies on: some objects take on most of that colour and can barely be seen.
    `build` puts its parts together; a random one of `BUILDS` unless given.
    """
    build = build or BUILDS[int(rng.choice(len(BUILDS), p=BUILD_SHARES))]
    parts = _fitted(build(rng), rng.uniform(0, 2 * np.pi), sqrt_area_px, longest_px)
    high = np.max([part.bounds()[1] for part in parts], axis=0)
    size_hw = (int(np.ceil(high[1])) + 3, int(np.ceil(high[0])) + 3)
    contrast = float(rng.choice([rng.uniform(0.08, 0.3), rng.uniform(0.3, 1.0), 1.0], p=[0.12, 0.33, 0.55]))
    rgb, alpha = _painted(rng, parts[0], size_hw, light_xy)
    for part in parts[1:]:
        surface, coverage = _painted(rng, part, size_hw, light_xy)
        rgb += coverage[..., None] * (surface - rgb)
        alpha = np.maximum(alpha, coverage)
    if contrast < 1.0:
        rgb = ground_rgb + np.float32(contrast) * (rgb - ground_rgb)
    return Sprite(np.clip(rgb, 0.0, 1.0), alpha)


def _painted(
    rng: np.random.Generator, part: Outline, size_hw: tuple[int, int], light_xy: tuple[float, float]
) -> tuple[Floats, Floats]:
    """The part's surface, which goes on beyond its edges so that half-covered pixels keep their full colour."""
    coverage = part.coverage(size_hw)
    surface = paint_surface(rng, size_hw, random_colour(rng))
    if rng.random() < 0.7:
        emboss(surface, coverage, light_xy, rng.uniform(0.3, 1.6))
    return surface, coverage


def compound(rng: np.random.Generator) -> list[Outline]:
    """Parts in one frame; each further part is centred on the outline of an earlier one, so that they touch."""
    parts = [random_outline(rng)]
    for _ in range(int(rng.choice(4, p=[0.55, 0.27, 0.12, 0.06]))):
        anchor = parts[int(rng.integers(len(parts)))].polygons_xy[0]
        scale = float(np.exp(rng.uniform(np.log(0.25), np.log(1.2))))
        parts.append(random_outline(rng).moved(scale, rng.uniform(0, 2 * np.pi), _pick(rng, anchor)))
    return parts


def _strung(rng: np.random.Generator) -> list[Outline]:
    """Two to four parts end to end along one line, of different thickness: long things change from part to part."""
    parts, end = [], 0.0
    for _ in range(int(rng.integers(2, 5))):
        scale = float(np.exp(rng.uniform(np.log(0.15), np.log(1.2))))
        parts.append(random_outline(rng).moved(scale, rng.normal(0, 0.1), np.array([end + 0.9 * scale, 0.0])))
        end += 1.8 * scale
    return parts


def _spread(rng: np.random.Generator) -> list[Outline]:
    """Two to five long parts that leave one place in several directions: branching and tangled things."""
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
    """A part with one to three smaller ones on top of it: things with a rim, a face or a print of another colour."""
    parts = [random_outline(rng)]
    scale = 1.0
    for _ in range(int(rng.integers(1, 4))):
        scale *= rng.uniform(0.4, 0.85)
        inner = parts[0] if rng.random() < 0.5 else random_outline(rng)
        parts.append(inner.moved(scale, 0.0, rng.normal(0, 0.08, 2)))
    return parts


BUILDS = (compound, _strung, _spread, _nested)
BUILD_SHARES = (0.45, 0.22, 0.18, 0.15)
LONG_OUTLINES = (bar, capsule, strand, strand, bracket)


def _pick(rng: np.random.Generator, points: Points) -> Points:
    chosen: Points = points[int(rng.integers(len(points)))] * rng.uniform(0.5, 1.0)
    return chosen


def _fitted(parts: list[Outline], angle: float, sqrt_area_px: float, longest_px: float) -> list[Outline]:
    """Turn and scale the parts to the wanted area and length, with their lowest corner at (2, 2) px."""
    turned = [part.moved(1.0, angle, np.zeros(2)) for part in parts]
    low, high = _bounds(turned)
    scale = sqrt_area_px / np.sqrt(sum(part.area() for part in turned))
    scale = min(scale, longest_px / float((high - low).max()))
    placed = [part.moved(scale, 0.0, 2.0 - low * scale) for part in turned]
    return [_visible_stroke(part) for part in placed]


def _visible_stroke(part: Outline) -> Outline:
    return Outline(part.polygons_xy, max(part.stroke_width, 1.6)) if part.stroke_width > 0 else part


def _bounds(parts: list[Outline]) -> tuple[Points, Points]:
    bounds = [part.bounds() for part in parts]
    return np.min([low for low, _ in bounds], axis=0), np.max([high for _, high in bounds], axis=0)
