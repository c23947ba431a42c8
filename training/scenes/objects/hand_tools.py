"""Hand tools: wrenches, hammer, screwdriver, pliers, cutter. Each is about two units long, along x."""

from __future__ import annotations

import numpy as np

from training.scenes.drawing.basic_outlines import (
    band,
    box,
    capsule,
    corner_points,
    curve,
    disc,
    hexagon,
    path,
    polygon,
    tapered,
)
from training.scenes.drawing.layers import Layer, Material
from training.scenes.drawing.materials import dark_steel, grip, ink, metal, plastic, rubber, steel, timber
from training.scenes.drawing.outline import Outline


def wrench(rng: np.random.Generator) -> list[Layer]:
    """Return an open-ended, ring or combination wrench."""
    material, half = metal(rng), rng.uniform(0.07, 0.13)
    left, right = rng.uniform(0.2, 0.32), rng.uniform(0.2, 0.32)
    shaft = tapered(-1 + left, 1 - right, half * rng.uniform(0.8, 1.1), half)
    layers = [Layer(shaft, material), Layer(_open_jaw(-1 + left, left, np.pi + rng.uniform(-0.4, 0.4)), material)]
    if rng.random() < 0.5:
        layers.append(Layer(_open_jaw(1 - right, right, rng.uniform(-0.4, 0.4)), material))
    else:
        layers.append(Layer(_ring_end(1 - right, right), material))
    # the shaft must not show through the ring or between the jaws, so it stops short of them
    layers[0] = Layer(tapered(-1 + 1.75 * left, 1 - 1.75 * right, half, half), material)
    if rng.random() < 0.5:
        layers.append(Layer(capsule(-0.35, 0.35, half * 0.45), material.shaded(0.75), inside=True))
    return layers


def _open_jaw(x: float, radius: float, facing: float) -> Outline:
    """Return a round head with a slot cut out of it towards `facing`."""
    turn = np.linspace(facing + 0.55, facing + 2 * np.pi - 0.55, 36)
    rim = np.stack([x + radius * np.cos(turn), radius * np.sin(turn)], axis=1)
    along = np.array([np.cos(facing), np.sin(facing)])
    across = np.array([-along[1], along[0]])
    floor = np.array([x, 0.0]) - 0.25 * radius * along
    slot = np.stack([floor - 0.5 * radius * across, floor + 0.5 * radius * across])
    return Outline((np.concatenate([rim, slot]),))


def _ring_end(x: float, radius: float) -> Outline:
    turn = np.linspace(0, 2 * np.pi, 40, endpoint=False)
    rim = np.stack([x + radius * np.cos(turn), 0.85 * radius * np.sin(turn)], axis=1)
    return Outline((rim, corner_points(x, 0.0, 0.55 * radius, 6)))


def adjustable_wrench(rng: np.random.Generator) -> list[Layer]:
    jaw_metal = steel(rng)
    handle = jaw_metal if rng.random() < 0.4 else grip(rng)
    gap = rng.uniform(0.06, 0.22)
    fixed = polygon((0.38, -0.13), (0.62, -0.3), (0.98, -0.3), (1.0, -0.13), (0.74, -0.08), (0.72, 0.3), (0.52, 0.3))
    sliding = polygon((0.72, gap - 0.08), (1.0, gap - 0.08), (0.97, gap + 0.12), (0.72, gap + 0.2))
    layers = [
        Layer(tapered(-0.5, 0.55, 0.1, 0.14), jaw_metal),
        Layer(capsule(-1.0, 0.05, rng.uniform(0.12, 0.16)), handle),
        Layer(fixed, jaw_metal),
        Layer(sliding, jaw_metal.shaded(0.9)),
        Layer(box(0.5, 0.02, 0.68, 0.16), jaw_metal.shaded(0.55), inside=True),
        Layer(disc(-0.86, 0.0, 0.06), ink(rng), inside=True),
    ]
    if rng.random() < 0.5:
        layers.append(Layer(box(-0.1, -0.2, 0.05, 0.2), plastic(rng), inside=True))
    return layers


def hammer(rng: np.random.Generator) -> list[Layer]:
    """Return a claw or cross-peen hammer with a wooden or two-coloured rubber handle."""
    head, half = metal(rng), rng.uniform(0.06, 0.09)
    handle = timber(rng) if rng.random() < 0.5 else rubber(rng)
    layers = [Layer(band(curve([(-1.0, 0.0), (0.0, rng.uniform(-0.06, 0.06)), (0.85, 0.0)]), half * 1.3, half), handle)]
    if rng.random() < 0.6:
        layers.append(Layer(tapered(-0.05, 0.66, half * 1.25, half), plastic(rng)))
    layers.append(Layer(box(0.68, -0.34, 0.92, 0.16), head))
    layers.append(Layer(box(0.64, -0.42, 0.96, -0.26), head.shaded(0.9)))
    if rng.random() < 0.75:
        layers.append(Layer(band(curve([(0.8, 0.1), (0.82, 0.36), (0.5, 0.56)]), 0.12, 0.02), head))
    else:
        layers.append(Layer(polygon((0.68, 0.14), (0.92, 0.14), (0.83, 0.45), (0.77, 0.45)), head))
    return layers


def screwdriver(rng: np.random.Generator) -> list[Layer]:
    handle, blade, half = grip(rng), steel(rng), rng.uniform(0.1, 0.17)
    start = rng.uniform(-0.3, 0.05)
    layers = [
        Layer(tapered(start - 0.1, 0.92, half * 0.3, half * 0.27), blade),
        Layer(_tip(rng, half * 0.3), blade.shaded(0.8)),
        Layer(capsule(-1.0, start, half), handle),
        Layer(tapered(start - 0.12, start + 0.04, half * 0.75, half * 0.5), handle.shaded(0.7)),
    ]
    layers.extend(
        Layer(capsule(-0.9, start - 0.14, half * 0.1, y * half), handle.shaded(0.65), inside=True)
        for y in (-0.45, 0.0, 0.45)
    )
    if rng.random() < 0.5:
        layers.append(Layer(box(-1.0, -half, -0.86, half), plastic(rng), inside=True))
    return layers


def _tip(rng: np.random.Generator, half: float) -> Outline:
    if rng.random() < 0.5:
        return polygon((0.85, -half), (0.93, -half * 1.6), (1.0, -half), (1.0, half), (0.93, half * 1.6), (0.85, half))
    return polygon((0.88, -half), (1.0, -half * 0.15), (1.0, half * 0.15), (0.88, half))


def pliers(rng: np.random.Generator) -> list[Layer]:
    """Return two bent grips that cross at a joint, and two jaws that may stand open."""
    handle, jaw = grip(rng), metal(rng)
    spread, opening, half = rng.uniform(0.12, 0.4), rng.uniform(0.0, 0.14), rng.uniform(0.065, 0.095)
    reach = rng.uniform(0.72, 1.0)
    layers = []
    for side in (-1, 1):
        grip_curve = curve(
            [(0.3, 0.06 * side), (0.0, 0.26 * side), (-0.5, (0.1 + spread) * side), (-1.0, spread * side)]
        )
        layers.append(Layer(band(grip_curve, half * 0.8, half), handle))
        tip = opening * side
        layers.append(
            Layer(
                polygon((0.2, 0.16 * side), (0.4, 0.19 * side), (reach, tip + 0.06 * side), (reach, tip), (0.3, 0.0)),
                jaw,
            )
        )
    layers.append(Layer(disc(0.3, 0.0, 0.16), jaw))
    layers.append(Layer(disc(0.3, 0.0, 0.06), jaw.shaded(0.6), inside=True))
    return layers


def cutter(rng: np.random.Generator) -> list[Layer]:
    """Return a utility knife: a bent plastic body, bands of another colour, a short slanted blade."""
    body, bands, half = rubber(rng) if rng.random() < 0.6 else plastic(rng), plastic(rng), rng.uniform(0.13, 0.19)
    spine = curve([(-1.0, 0.12), (-0.3, -0.05), (0.3, -0.05), (0.72, 0.05)])
    layers = [
        Layer(polygon((0.6, -0.08), (0.86, -0.06), (1.0, 0.14), (0.6, 0.12)), steel(rng)),
        Layer(band(spine, half, half * 0.8), body),
        Layer(box(-1.2, -0.4, -0.82, 0.5), bands, inside=True),
        Layer(box(0.35, -0.4, 0.58, 0.4), bands, inside=True),
        Layer(capsule(-0.05, 0.2, 0.05), _button(rng), inside=True),
    ]
    if rng.random() < 0.5:
        layers.append(Layer(path([(-0.7, 0.06), (-0.1, -0.03)], 0.06), bands, inside=True))
    return layers


def _button(rng: np.random.Generator) -> Material:
    return dark_steel(rng) if rng.random() < 0.5 else plastic(rng)


def clamp(rng: np.random.Generator) -> list[Layer]:
    """Return a hose clamp: a slotted steel band in a ring that may stand open, with the screw's housing on it."""
    band_metal, opening = steel(rng), rng.uniform(0.0, 1.0)
    turn = np.linspace(0.25, 2 * np.pi - 0.1 - opening, 48)
    ring = np.stack([np.cos(turn), rng.uniform(0.6, 1.0) * np.sin(turn)], axis=1)
    housing = box(0.85, -0.05, 1.2, 0.32)
    return [
        Layer(path(ring, rng.uniform(0.09, 0.16)), band_metal),
        Layer(housing, band_metal.shaded(0.85)),
        Layer(hexagon(1.18, 0.3, 0.14), band_metal.shaded(0.6)),
    ]
