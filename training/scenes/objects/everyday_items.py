"""Things people lose: batteries, cans, pens, tape, caps, tags. Each is about two units long, along x."""

from __future__ import annotations

import numpy as np

from training.scenes.drawing.basic_outlines import (
    box,
    capsule,
    circle_points,
    curve,
    disc,
    path,
    polygon,
    rough,
    tapered,
    washer,
)
from training.scenes.drawing.layers import Layer
from training.scenes.drawing.materials import aluminium, brass, dark_steel, ink, paper, plastic, rubber, steel
from training.scenes.drawing.outline import Outline


def battery(rng: np.random.Generator) -> list[Layer]:
    half, split = rng.uniform(0.2, 0.34), rng.uniform(-0.6, 0.6)
    first, second = (rubber(rng), brass(rng)) if rng.random() < 0.4 else (plastic(rng), aluminium(rng))
    return [
        Layer(box(0.85, -half * 0.35, 1.0, half * 0.35), steel(rng)),
        Layer(box(-1.0, -half, 0.92, half), first),
        Layer(box(split, -half, 0.92, half), second, inside=True),
        Layer(box(0.84, -half, 0.92, half), steel(rng), inside=True),
        Layer(box(-1.0, -half, -0.95, half), steel(rng), inside=True),
        *_lettering(rng, -0.8, 0.7, half * 0.4),
    ]


def soda_can(rng: np.random.Generator) -> list[Layer]:
    """Return a can that lies on its side, whole or crushed."""
    colour, other, metal_end = plastic(rng), plastic(rng), aluminium(rng)
    half = rng.uniform(0.42, 0.6)
    body = box(-0.92, -half, 0.88, half)
    end = disc(0.88, 0.0, half * rng.uniform(0.25, 0.6), half * 0.95)
    crushed = rng.random() < 0.5
    if crushed:
        body = rough(rng, _dense(body), 0.07)
        end = disc(0.7, rng.uniform(-0.2, 0.2), half * 0.75, half * 0.8)
    layers = [Layer(body, colour), Layer(tapered(-1.0, -0.9, half * 0.8, half), metal_end)]
    layers.append(Layer(polygon((-0.7, -half), (0.1, -half), (0.5, half), (-0.3, half)), other, inside=True))
    layers.extend(_lettering(rng, -0.6, 0.5, half * 0.5))
    if crushed:
        creases = rng.uniform(-1, 1, (4, 2, 2)) * (0.9, half)
        layers.extend(Layer(path(crease, 0.05), colour.shaded(0.5), inside=True) for crease in creases)
    layers.append(Layer(end, metal_end))
    layers.append(Layer(_ring_of(end, 0.8), metal_end.shaded(0.7), inside=True))
    layers.append(Layer(_ring_of(end, 0.3), metal_end.shaded(0.5), inside=True))
    return layers


def pen(rng: np.random.Generator) -> list[Layer]:
    barrel, cap, half = plastic(rng) if rng.random() < 0.6 else aluminium(rng), plastic(rng), rng.uniform(0.045, 0.075)
    layers = [
        Layer(box(-0.92, -half, 0.72, half), barrel),
        Layer(tapered(0.7, 0.92, half, half * 0.35), cap),
        Layer(tapered(0.91, 1.0, half * 0.3, half * 0.1), steel(rng)),
        Layer(capsule(-1.0, -0.35, half * 1.15), cap),
        Layer(capsule(-0.98, -0.45, half * 0.35, -half * 1.3), cap.shaded(0.7)),
    ]
    if rng.random() < 0.4:
        layers.append(Layer(box(0.2, -half, 0.5, half), rubber(rng), inside=True))
    return layers


def tape(rng: np.random.Generator) -> list[Layer]:
    """Return a roll from above with a core of cardboard and perhaps a loose end."""
    roll = rubber(rng) if rng.random() < 0.4 else plastic(rng)
    core, lift = rng.uniform(0.55, 0.72), rng.uniform(0.0, 0.25)
    layers = [
        Layer(washer(0.0, lift, 1.0, core), roll.shaded(0.7)),
        Layer(washer(0.0, 0.0, 1.0, core), roll),
        Layer(washer(0.0, 0.0, core + 0.07, core), paper(rng), inside=True),
    ]
    layers.extend(
        Layer(washer(0.0, 0.0, radius, radius - 0.015), roll.shaded(0.8), inside=True)
        for radius in np.linspace(core + 0.12, 0.95, 4)
    )
    if rng.random() < 0.4:
        layers.append(Layer(path(curve([(0.0, 0.9), (0.6, 1.0), (1.2, rng.uniform(0.6, 1.3))]), 0.16), roll))
    return layers


def fuel_cap(rng: np.random.Generator) -> list[Layer]:
    """Return a round cap with a toothed rim and a grip or a metal centre."""
    rim, teeth = rubber(rng), 24
    turn = np.arange(2 * teeth) * np.pi / teeth
    radii = np.where(np.arange(2 * teeth) % 2 == 0, 1.0, rng.uniform(0.9, 0.97))
    outline = Outline((np.stack([radii * np.cos(turn), radii * np.sin(turn)], axis=1),))
    centre = [steel, brass, plastic][int(rng.integers(3))](rng)
    layers = [Layer(outline, rim), Layer(disc(0.0, 0.0, rng.uniform(0.5, 0.75)), centre)]
    if rng.random() < 0.6:
        layers.append(Layer(capsule(-0.7, 0.7, rng.uniform(0.12, 0.2)), rim.shaded(1.4)))
    layers.append(Layer(disc(0.0, 0.0, 0.12), dark_steel(rng), inside=True))
    return layers


def luggage_tag(rng: np.random.Generator) -> list[Layer]:
    """Return a card with print, a hole and a loop of string."""
    card, half = paper(rng) if rng.random() < 0.6 else plastic(rng), rng.uniform(0.28, 0.42)
    loop = curve([(0.62, 0.0), (1.3, rng.uniform(0.1, 0.8)), (1.3, -rng.uniform(0.1, 0.8)), (0.62, 0.0)])
    return [
        Layer(path(loop, rng.uniform(0.05, 0.09)), rubber(rng) if rng.random() < 0.6 else paper(rng)),
        Layer(polygon((-1, -half), (0.6, -half), (0.8, -half * 0.5), (0.8, half * 0.5), (0.6, half), (-1, half)), card),
        Layer(disc(0.66, 0.0, 0.07), ink(rng), inside=True),
        *_lettering(rng, -0.85, 0.4, half * 0.55),
    ]


def label(rng: np.random.Generator) -> list[Layer]:
    """Return a "remove before flight" ribbon: a coloured strap with pale letters and a metal ring."""
    strap, letters, half = plastic(rng), paper(rng), rng.uniform(0.14, 0.22)
    bend = rng.uniform(-0.15, 0.15)
    upper = curve([(-1.0, -half), (0.0, -half + bend), (0.8, -half)])
    lower = curve([(-1.0, half), (0.0, half + bend), (0.8, half)])[::-1]
    layers = [
        Layer(washer(0.94, 0.0, 0.16, 0.11), steel(rng)),
        Layer(Outline((np.concatenate([upper, lower]),)), strap),
        Layer(disc(0.7, 0.0, 0.05), steel(rng), inside=True),
    ]
    for x in np.arange(-0.85, 0.5, 0.13):
        if rng.random() < 0.85:
            glyph = box(x, -half * 0.5, x + rng.uniform(0.03, 0.09), half * 0.5)
            layers.append(Layer(glyph, letters, inside=True))
    return layers


def _lettering(rng: np.random.Generator, x0: float, x1: float, half: float) -> list[Layer]:
    """Return rows of small blocks: what print looks like from standing height."""
    colour, layers = ink(rng) if rng.random() < 0.6 else paper(rng), []
    for y in rng.uniform(-half, half, int(rng.integers(1, 4))):
        for x in np.arange(x0, x1, rng.uniform(0.12, 0.3)):
            if rng.random() < 0.7:
                block = box(x, y, x + rng.uniform(0.04, 0.15), y + half * rng.uniform(0.15, 0.4))
                layers.append(Layer(block, colour, inside=True))
    return layers


def _dense(outline: Outline) -> Outline:
    """Return it with more corners along each side, so that roughening bends the sides and not only the corners."""
    corners = outline.polygons_xy[0]
    share = np.linspace(0, 1, 6, endpoint=False)[None, :, None]
    sides = corners[:, None] * (1 - share) + np.roll(corners, -1, axis=0)[:, None] * share
    return Outline((sides.reshape(-1, 2),))


def _ring_of(ellipse: Outline, scale: float) -> Outline:
    rim = ellipse.polygons_xy[0]
    middle, radii = rim.mean(axis=0), np.ptp(rim, axis=0) / 2 * scale
    outer = circle_points(middle[0], middle[1], radii[0], radii[1])
    return Outline((outer, middle + (outer - middle) * 0.85))
