"""Materials of the drawn objects, each with random variation."""

from __future__ import annotations

import colorsys

import numpy as np

from training.scenes.drawing.layers import Material, Rgb


def steel(rng: np.random.Generator) -> Material:
    level = rng.uniform(0.45, 0.82)
    return Material(_near(rng, (level, level, level * 1.02), 0.02), "streak", 0.07, rng.uniform(0.1, 0.25), 0.9)


def dark_steel(rng: np.random.Generator) -> Material:
    level = rng.uniform(0.1, 0.3)
    return Material(_near(rng, (level, level, level * 1.05), 0.015), "grain", 0.08, 0.2, 0.5)


def brass(rng: np.random.Generator) -> Material:
    level = rng.uniform(0.55, 0.8)
    return Material(_near(rng, (level, level * 0.87, level * 0.52), 0.03), "streak", 0.06, 0.18, 0.7)


def rust(rng: np.random.Generator) -> Material:
    level = rng.uniform(0.3, 0.5)
    return Material(_near(rng, (level, level * 0.62, level * 0.42), 0.03), "rough", 0.22, 0.2, 0.05)


def metal(rng: np.random.Generator) -> Material:
    """Return one of the metals, clean ones more often than rusty ones."""
    return [steel, steel, dark_steel, brass, rust][int(rng.integers(5))](rng)


def plastic(rng: np.random.Generator) -> Material:
    """Return a saturated, glossy material in the colours of tool handles."""
    hue = float(rng.choice([0.0, 0.02, 0.08, 0.13, 0.15, 0.35, 0.4, 0.58, 0.62]) + rng.normal(0, 0.015))
    rgb = colorsys.hsv_to_rgb(hue % 1.0, rng.uniform(0.65, 0.98), rng.uniform(0.5, 0.95))
    return Material(_near(rng, rgb, 0.02), "fine", 0.02, 0.22, rng.uniform(0.2, 0.7))


def rubber(rng: np.random.Generator) -> Material:
    level = rng.uniform(0.05, 0.2)
    return Material(_near(rng, (level, level, level), 0.01), "fine", 0.06, 0.22, 0.15)


def grip(rng: np.random.Generator) -> Material:
    return plastic(rng) if rng.random() < 0.7 else rubber(rng)


def timber(rng: np.random.Generator) -> Material:
    level = rng.uniform(0.4, 0.8)
    return Material(
        _near(rng, (level, level * rng.uniform(0.68, 0.85), level * rng.uniform(0.4, 0.65)), 0.02),
        "streak",
        0.13,
        0.2,
        0.05,
    )


def bark(rng: np.random.Generator) -> Material:
    level = rng.uniform(0.2, 0.42)
    return Material(_near(rng, (level, level * 0.82, level * 0.68), 0.02), "rough", 0.3, 0.22, 0.0)


def stone(rng: np.random.Generator) -> Material:
    level = rng.uniform(0.3, 0.75)
    warmth = rng.uniform(0.7, 1.0)
    return Material(_near(rng, (level, level * (0.5 + 0.5 * warmth), level * warmth), 0.02), "rough", 0.16, 0.14, 0.0)


def paper(rng: np.random.Generator) -> Material:
    return Material(_near(rng, (0.93, 0.93, 0.91), 0.03), "cloud", 0.03, 0.03, 0.05)


def aluminium(rng: np.random.Generator) -> Material:
    level = rng.uniform(0.68, 0.88)
    return Material((level, level, level), "streak", 0.04, 0.1, 1.0)


def ink(rng: np.random.Generator) -> Material:
    level = rng.uniform(0.02, 0.25)
    return Material(_near(rng, (level, level, level), 0.03), "fine", 0.02, 0.02, 0.0)


def _near(rng: np.random.Generator, rgb: Rgb, spread: float) -> Rgb:
    red, green, blue = np.clip(np.array(rgb) + rng.normal(0, spread, 3), 0.02, 0.98)
    return float(red), float(green), float(blue)
