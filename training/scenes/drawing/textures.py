"""Textures of an object's parts, from flat paint to brushed metal and printed labels."""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np

from training.scenes.drawing.noise import Floats, NoiseKind, sample_noise

Surface = Callable[[np.random.Generator, tuple[int, int], Floats], Floats]


def paint_surface(rng: np.random.Generator, size_hw: tuple[int, int], colour_rgb: Floats) -> Floats:
    """Return a random surface of about `colour_rgb` (float32 [3], 0..1): float32 [H,W,3], not clipped."""
    surface = SURFACES[int(rng.choice(len(SURFACES), p=_SHARES))](rng, size_hw, colour_rgb)
    if rng.random() < 0.4:
        _wear(rng, surface)
    return surface


def flat(_: np.random.Generator, size_hw: tuple[int, int], colour_rgb: Floats) -> Floats:
    return np.ascontiguousarray(np.broadcast_to(colour_rgb, (*size_hw, 3)), dtype=np.float32)


def gradient(rng: np.random.Generator, size_hw: tuple[int, int], colour_rgb: Floats) -> Floats:
    along = _along(size_hw, rng.uniform(0, 2 * np.pi))[..., None]
    return colour_rgb * (1.0 + np.float32(rng.uniform(0.1, 0.7)) * along)


def noisy(rng: np.random.Generator, size_hw: tuple[int, int], colour_rgb: Floats) -> Floats:
    kinds: list[NoiseKind] = ["fine", "grain", "rough", "cloud", "pebble", "streak"]
    field = sample_noise(rng, size_hw, kinds[rng.integers(6)], zoom=rng.uniform(0.5, 2.5))[..., None]
    other = np.clip(colour_rgb + rng.normal(0, 0.12, 3), 0, 1).astype(np.float32)
    return colour_rgb + (other - colour_rgb + np.float32(rng.uniform(-0.15, 0.15))) * field


def striped(rng: np.random.Generator, size_hw: tuple[int, int], colour_rgb: Floats) -> Floats:
    """Return parallel bands, soft or hard: threads, ribs, tape and prints."""
    along = _along_px(size_hw, rng.uniform(0, np.pi))
    wave = np.sin(along * np.float32(2 * np.pi / rng.uniform(3.0, 24.0)) + np.float32(rng.uniform(0, 6)))
    bands = np.clip(wave * np.float32(rng.choice([1.0, 6.0])), -1, 1)[..., None]
    other = random_colour(rng) if rng.random() < 0.4 else colour_rgb * np.float32(rng.uniform(0.4, 0.85))
    return np.asarray(colour_rgb + (0.5 + 0.5 * bands) * (other - colour_rgb), dtype=np.float32)


def speckled(rng: np.random.Generator, size_hw: tuple[int, int], colour_rgb: Floats) -> Floats:
    field = sample_noise(rng, size_hw, "grain", zoom=rng.uniform(0.6, 2.0))
    spots = np.clip((field - np.float32(rng.uniform(0.5, 1.5))) * 4.0, 0.0, 1.0)[..., None]
    return np.asarray(colour_rgb + spots * (random_colour(rng) - colour_rgb), dtype=np.float32)


def metallic(rng: np.random.Generator, size_hw: tuple[int, int], colour_rgb: Floats) -> Floats:
    """Return bright and dark bands across, as a polished rod or sheet mirrors sky and ground."""
    along = _along(size_hw, rng.uniform(0, 2 * np.pi))
    surface = np.zeros(size_hw, np.float32)
    for _ in range(int(rng.integers(1, 4))):
        offset = (along - np.float32(rng.uniform(-0.9, 0.9))) * np.float32(1 / rng.uniform(0.08, 0.5))
        surface += np.exp(-offset * offset) * np.float32(rng.uniform(-0.5, 0.8))
    surface += sample_noise(rng, size_hw, "streak") * np.float32(rng.uniform(0, 0.06))
    return colour_rgb + surface[..., None] * np.float32(rng.uniform(0.4, 1.0))


def printed(rng: np.random.Generator, size_hw: tuple[int, int], colour_rgb: Floats) -> Floats:
    """Return blocks and rows of marks like the print on a label, tag or tin."""
    surface = flat(rng, size_hw, colour_rgb)
    height, width = size_hw
    ink = random_colour(rng)
    for _ in range(int(rng.integers(3, 22))):
        x, y = int(rng.integers(0, width)), int(rng.integers(0, height))
        step_x, step_y = int(rng.integers(1, 2 + width // 4)), int(rng.integers(1, 2 + height // 10))
        cv2.rectangle(surface, (x, y), (x + step_x, y + step_y), [float(v) for v in ink], -1)
        if rng.random() < 0.2:
            ink = random_colour(rng)
    return surface


SURFACES: tuple[Surface, ...] = (flat, gradient, noisy, striped, speckled, metallic, printed)
_SHARES = np.array([0.16, 0.18, 0.2, 0.1, 0.08, 0.18, 0.1])


def random_colour(rng: np.random.Generator) -> Floats:
    """Return float32 [3] in 0..1: mostly greys, blacks and metals with some saturated paint, as debris has."""
    if rng.random() < 0.55:
        level = rng.choice([rng.uniform(0.02, 0.25), rng.uniform(0.25, 0.75), rng.uniform(0.75, 1.0)])
        return np.asarray(np.clip(level + rng.normal(0, 0.04, 3), 0, 1), dtype=np.float32)
    if rng.random() < 0.35:  # rust, wood, leather, brass
        level = rng.uniform(0.2, 0.85)
        return np.array([level, level * rng.uniform(0.5, 0.85), level * rng.uniform(0.2, 0.6)], np.float32)
    return rng.uniform(0, 1, 3).astype(np.float32)


def emboss(surface_hwc: Floats, alpha_hw: Floats, light_xy: tuple[float, float], strength: float) -> None:
    """Brighten edges that face the light and darken the others, in place: a flat outline looks solid."""
    reach = max(0.8, 0.06 * float(np.sqrt(alpha_hw.sum())))
    soft = cv2.GaussianBlur(alpha_hw, (0, 0), reach)
    slope_y, slope_x = np.gradient(soft)
    # alpha rises towards the inside, so an edge that faces the light has its gradient against the light's direction
    shade = -(slope_x * light_xy[0] + slope_y * light_xy[1]) * np.float32(strength * reach * 2.5)
    surface_hwc *= 1.0 + np.clip(shade, -0.7, 0.7)[..., None]


def _wear(rng: np.random.Generator, surface: Floats) -> None:
    field = sample_noise(rng, (surface.shape[0], surface.shape[1]), "rough", zoom=rng.uniform(0.5, 1.5))
    surface *= 1.0 + np.float32(rng.uniform(0.03, 0.2)) * field[..., None]


def _along_px(size_hw: tuple[int, int], angle: float) -> Floats:
    """Return each pixel's distance along a direction, in pixels from the middle."""
    height, width = size_hw
    x = (np.arange(width, dtype=np.float32) - np.float32(width / 2)) * np.float32(np.cos(angle))
    y = (np.arange(height, dtype=np.float32) - np.float32(height / 2)) * np.float32(np.sin(angle))
    return y[:, None] + x[None, :]


def _along(size_hw: tuple[int, int], angle: float) -> Floats:
    """Return the same in units of half the image: about -1..1."""
    return _along_px(size_hw, angle) * np.float32(2.0 / max(size_hw))
