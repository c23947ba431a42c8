"""Fasteners: bolts, nuts, washers, nails, screws. Each is about two units long, along x."""

from __future__ import annotations

import numpy as np

from training.scenes.drawing.basic_outlines import box, capsule, disc, hexagon, path, polygon, tapered, washer
from training.scenes.drawing.layers import Layer, Material
from training.scenes.drawing.materials import metal


def bolt(rng: np.random.Generator) -> list[Layer]:
    """Return a bolt seen from the side: hexagonal or round head, partly threaded shank."""
    material, half = metal(rng), rng.uniform(0.11, 0.2)
    return [*_shank(material, -0.7, 1.0, half, rng.uniform(-0.6, 0.3)), *_head(rng, material, -0.68, half * 2.0)]


def bolt_washer(rng: np.random.Generator) -> list[Layer]:
    """Return a short bolt with its washer on."""
    material, half = metal(rng), rng.uniform(0.2, 0.3)
    ring = box(-0.5, -half * 2.6, -0.38, half * 2.6)
    shank = _shank(material, -0.4, rng.uniform(0.4, 0.9), half, -0.35)
    return [*shank, Layer(ring, material.shaded(0.85)), *_head(rng, material, -0.48, half * 1.8)]


def bolt_nut_set(rng: np.random.Generator) -> list[Layer]:
    """Return a bolt with a nut somewhere on its thread."""
    material, half = metal(rng), rng.uniform(0.14, 0.22)
    at = rng.uniform(0.1, 0.6)
    nut_box = polygon((at, -half * 1.9), (at + 0.26, -half * 1.9), (at + 0.26, half * 1.9), (at, half * 1.9))
    rim = box(at, -half * 0.9, at + 0.26, half * 0.9)
    layers = [*_shank(material, -0.7, 1.0, half, -0.5), *_head(rng, material, -0.66, half * 2.0)]
    return [*layers, Layer(nut_box, material), Layer(rim, material.shaded(1.2), inside=True)]


def screw(rng: np.random.Generator) -> list[Layer]:
    """Return a pointed screw, threaded almost to its countersunk or round head."""
    material, half = metal(rng), rng.uniform(0.09, 0.15)
    tip = rng.uniform(0.6, 0.85)
    layers = _shank(material, -0.85, tip, half, -0.6)
    layers.append(Layer(tapered(tip - 0.02, 1.0, half, 0.01), material))
    layers.append(Layer(tapered(-1.0, -0.76, half * 2.4, half), material))
    return layers


def nail(rng: np.random.Generator) -> list[Layer]:
    material, half = metal(rng), rng.uniform(0.035, 0.07)
    head = half * rng.uniform(2.2, 3.2)
    return [
        Layer(tapered(-0.97, 0.86, half, half), material),
        Layer(tapered(0.85, 1.0, half, 0.005), material.shaded(0.9)),
        Layer(capsule(-1.0 - head * 0.1, -0.93, 0.03), material),
        Layer(box(-1.0, -head, -0.94, head), material.shaded(1.1)),
    ]


def nut(rng: np.random.Generator) -> list[Layer]:
    """Return a nut from above or a little from the side, with its inner thread."""
    material, hole, lift = metal(rng), rng.uniform(0.48, 0.62), rng.uniform(0.0, 0.35)
    return [
        Layer(washer(0.0, lift, 1.0, hole, sides=6), material.shaded(0.6)),
        Layer(washer(0.0, 0.0, 1.0, hole, sides=6), material),
        Layer(washer(0.0, 0.0, 0.86, hole), material.shaded(1.12), inside=True),
        Layer(washer(0.0, 0.0, hole + 0.08, hole), material.shaded(0.55), inside=True),
    ]


def flat_washer(rng: np.random.Generator) -> list[Layer]:
    material, hole = metal(rng), rng.uniform(0.35, 0.68)
    layers = [Layer(washer(0.0, 0.0, 1.0, hole), material)]
    if rng.random() < 0.4:
        layers.append(Layer(washer(0.0, 0.0, hole + 0.1, hole), material.shaded(0.75), inside=True))
    return layers


def _shank(material: Material, start: float, stop: float, half: float, thread_from: float) -> list[Layer]:
    layers = [Layer(tapered(start, stop, half, half), material)]
    pitch = half * 0.55
    for x in np.arange(thread_from, stop, pitch):
        groove = path([(x, -half), (x + pitch * 0.5, half)], pitch * 0.4)
        layers.append(Layer(groove, material.shaded(0.55), inside=True))
    return layers


def _head(rng: np.random.Generator, material: Material, stop: float, half: float) -> list[Layer]:
    if rng.random() < 0.35:  # seen from the end: the hexagon itself
        middle = (stop - 1) / 2
        rim, inner = hexagon(middle, 0.0, half * 1.1), disc(middle, 0.0, half * 0.6)
        return [Layer(rim, material), Layer(inner, material.shaded(1.15), inside=True)]
    face = box(-1.0, -half * 0.5, stop, half * 0.5)
    return [Layer(box(-1.0, -half, stop, half), material), Layer(face, material.shaded(1.2), inside=True)]
