"""Objects as stacks of layers, each an outline of one material; `render` draws a stack in a random pose."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from training.scenes.drawing.noise import Floats, NoiseKind, sample_noise
from training.scenes.drawing.object_image import ObjectImage
from training.scenes.drawing.outline import Outline, joint_bounds

Rgb = tuple[float, float, float]


@dataclass(frozen=True)
class Material:
    """Colour, its variation, how round the surface looks (`relief`) and how sharply it mirrors light (`gloss`)."""

    rgb: Rgb
    grain: NoiseKind = "fine"
    grain_strength: float = 0.03
    relief: float = 0.22
    gloss: float = 0.2

    def shaded(self, gain: float) -> Material:
        """Return the same material, darker (`gain` < 1) or lighter."""
        red, green, blue = (min(value * gain, 1.0) for value in self.rgb)
        return Material((red, green, blue), self.grain, self.grain_strength, self.relief, self.gloss)


@dataclass(frozen=True)
class Layer:
    """An outline of one material. If `inside`, it colours only where earlier layers lie: print, grooves, rims."""

    outline: Outline
    material: Material
    inside: bool = False


def render(
    rng: np.random.Generator, layers: Sequence[Layer], length_px: float, light_xy: tuple[float, float], label: str
) -> ObjectImage:
    """Draw the layers in a random pose, `length_px` pixels long before foreshortening, lit from `light_xy`."""
    outlines, size_hw = _posed([layer.outline for layer in layers], rng, length_px)
    rgb, alpha = np.zeros((*size_hw, 3), np.float32), np.zeros(size_hw, np.float32)
    for outline, layer in zip(outlines, layers, strict=True):
        coverage = outline.coverage(size_hw)
        surface = _surface(rng, coverage, layer.material, light_xy)
        if layer.inside:
            rgb += coverage[..., None] * (surface - rgb)
        else:
            _lay_over(rgb, alpha, surface, coverage)
    rgb *= 1.0 + np.float32(rng.uniform(0.0, 0.12)) * sample_noise(rng, size_hw, "rough")[..., None]
    return ObjectImage(np.clip(rgb, 0.0, 1.0), alpha, label)


def _lay_over(rgb: Floats, alpha: Floats, surface: Floats, coverage: Floats) -> None:
    """Composite with Porter-Duff "over", in place.

    `rgb` is not multiplied by alpha, so half-covered pixels keep their full colour.
    """
    total = coverage + alpha * (1.0 - coverage)
    rgb += (coverage / np.maximum(total, 1e-6))[..., None] * (surface - rgb)
    np.copyto(alpha, total)


def _posed(
    outlines: list[Outline], rng: np.random.Generator, length_px: float
) -> tuple[list[Outline], tuple[int, int]]:
    """Return the outlines mirrored, foreshortened, turned, scaled, moved to (3, 3) px, and their image size."""
    low, high = joint_bounds(outlines)
    scale = length_px / float((high - low).max())
    stretch = rng.uniform(0.72, 1.0, 2) * (1, rng.choice([-1, 1]))
    angle = rng.uniform(0, 2 * np.pi)
    turned = [outline.stretched(*stretch).moved(scale, angle, np.zeros(2)) for outline in outlines]
    low, high = joint_bounds(turned)
    placed = [outline.moved(1.0, 0.0, 3.0 - low) for outline in turned]
    width, height = np.ceil(high - low).astype(int) + 6
    return placed, (int(height), int(width))


def _surface(rng: np.random.Generator, coverage: Floats, material: Material, light_xy: tuple[float, float]) -> Floats:
    height, width = coverage.shape
    field = sample_noise(rng, (height, width), material.grain, zoom=rng.uniform(0.6, 1.6))
    gain = 1.0 + np.float32(material.grain_strength) * field
    facing = _facing(coverage, material.relief, light_xy)
    gain *= 1.0 + 0.55 * facing
    surface = gain[..., None] * np.array(material.rgb, np.float32)
    highlight = np.clip(facing - 0.25, 0.0, 1.0) ** 2 * np.float32(4.0 * material.gloss)
    return np.asarray(surface + highlight[..., None], dtype=np.float32)


def _facing(coverage: Floats, relief: float, light_xy: tuple[float, float]) -> Floats:
    """Return -1..1: how far the surface turns towards the light, as if rounded off near its outline."""
    thickness_px = float(coverage.sum()) / max(coverage.shape)
    sigma_px = max(0.7, relief * thickness_px)
    soft = cv2.GaussianBlur(coverage, (0, 0), sigma_px)
    slope_y, slope_x = np.gradient(soft)
    facing = -(slope_x * light_xy[0] + slope_y * light_xy[1]) * np.float32(2.2 * sigma_px)
    return np.asarray(np.clip(facing, -1.0, 1.0), dtype=np.float32)
