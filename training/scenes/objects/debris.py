"""Debris: hoses, wires, rocks, wood, sheets, chips of paint. Each is about two units long, along x."""

from __future__ import annotations

import numpy as np

from training.scenes.drawing.basic_outlines import band, box, circle_points, curve, disc, path, polygon, rough, tapered
from training.scenes.drawing.layers import Layer, Material
from training.scenes.drawing.materials import (
    aluminium,
    bark,
    brass,
    ink,
    metal,
    paper,
    plastic,
    rubber,
    steel,
    stone,
    timber,
)
from training.scenes.drawing.outline import Outline, Points


def hose(rng: np.random.Generator) -> list[Layer]:
    """Return a thick bent tube with a metal fitting."""
    tube, half = rubber(rng) if rng.random() < 0.4 else plastic(rng).shaded(0.7), rng.uniform(0.07, 0.13)
    spine = curve([(-1.0, 0.0), (-0.3, rng.uniform(-0.8, 0.8)), (0.4, rng.uniform(-0.6, 0.6)), (0.8, 0.0)], 40)
    heading = spine[-1] - spine[-2]
    fitting = _along(tapered(-0.05, 0.2, half * 1.3, half * 1.1), spine[-1], heading)
    nipple = _along(tapered(0.18, 0.32, half * 0.7, half * 0.7), spine[-1], heading)
    layers = [Layer(band(spine, half, half), tube), Layer(nipple, steel(rng)), Layer(fitting, brass(rng))]
    if rng.random() < 0.5:
        layers.append(Layer(path(spine, half * 0.35), tube.shaded(1.5), inside=True))
    return layers


def wire(rng: np.random.Generator) -> list[Layer]:
    """Return one to three thin cables side by side, bent at random, some with a plug."""
    points = rng.uniform(-1, 1, (6, 2)) * (1.0, 0.8)
    spine = curve([(x, y) for x, y in points[np.argsort(points[:, 0])]], 48)
    width, layers = rng.uniform(0.035, 0.07), []
    for strand in range(int(rng.integers(1, 4))):
        offset = width * 0.8 * strand
        insulation = plastic(rng) if rng.random() < 0.6 else rubber(rng)
        layers.append(Layer(path(spine + np.array([0.3 * offset, offset]), width), insulation))
    if rng.random() < 0.6:
        plug = _along(box(-0.05, -0.09, 0.16, 0.12), spine[-1], spine[-1] - spine[-3])
        layers.append(Layer(plug, paper(rng) if rng.random() < 0.5 else rubber(rng)))
    return layers


def rock(rng: np.random.Generator) -> list[Layer]:
    """Return an angular stone with facets of different brightness."""
    material, count = stone(rng), int(rng.integers(8, 14))
    turn = np.sort(rng.uniform(0, 2 * np.pi, count))
    rim = np.stack([np.cos(turn), rng.uniform(0.55, 0.95) * np.sin(turn)], axis=1) * rng.uniform(0.8, 1.0, (count, 1))
    layers = [Layer(Outline((rim,)), material)]
    peak = rng.uniform(-0.25, 0.25, 2)
    for index in rng.permutation(count)[: count // 2]:
        facet = Outline((np.stack([rim[index], rim[(index + 1) % count], peak]),))
        layers.append(Layer(facet, material.shaded(rng.uniform(0.65, 1.3)), inside=True))
    return layers


def wood(rng: np.random.Generator) -> list[Layer]:
    """Return a twig with side branches, or a splintered piece of board."""
    if rng.random() < 0.5:
        return _board(rng)
    material, half = bark(rng), rng.uniform(0.05, 0.1)
    spine = curve([(-1.0, 0.0), (-0.3, rng.uniform(-0.3, 0.3)), (0.4, rng.uniform(-0.3, 0.3)), (1.0, 0.0)])
    layers = [Layer(rough(rng, band(spine, half, half * 0.5), 0.012), material)]
    for _ in range(int(rng.integers(1, 4))):
        root = spine[int(rng.integers(4, 20))]
        tip = root + rng.uniform(0.15, 0.45, 2) * (1, rng.choice([-1, 1]))
        layers.append(Layer(band(np.linspace(root, tip, 8), half * 0.6, half * 0.25), material))
    return layers


def _board(rng: np.random.Generator) -> list[Layer]:
    material, half = timber(rng), rng.uniform(0.15, 0.35)
    splinters = np.linspace(half, -half, 8)
    end: Points = np.stack([rng.uniform(0.75, 1.0, 8), splinters], axis=1)
    board = Outline((np.concatenate([[(-1.0, -half), (-1.0, half)], end]),))
    layers = [Layer(board, material)]
    for y in rng.uniform(-half, half, 5):
        fibre = path([(-1.0, y), (0.9, y + rng.normal(0, 0.03))], 0.015)
        layers.append(Layer(fibre, material.shaded(0.7), inside=True))
    return layers


def metal_sheet(rng: np.random.Generator) -> list[Layer]:
    """Return a flat or folded piece of sheet metal with rivet holes."""
    material, half = _sheet_metal(rng), rng.uniform(0.45, 0.9)
    shear = rng.uniform(-0.3, 0.3)
    corners = [(-1 + shear, -half), (1 + shear, -half * rng.uniform(0.7, 1)), (1 - shear, half), (-1 - shear, half)]
    layers = [Layer(polygon(*corners), material)]
    if rng.random() < 0.5:
        fold = rng.uniform(-0.3, 0.3)
        half_plane = polygon((fold, -2.0), (2.0, -2.0), (2.0, 2.0), (fold + shear, 2.0))
        layers.append(Layer(half_plane, material.shaded(rng.uniform(0.6, 1.25)), inside=True))
    hole = ink(rng)
    layers.extend(
        Layer(disc(x, y, 0.035), hole, inside=True)
        for x in np.linspace(-0.75, 0.75, int(rng.integers(2, 6)))
        for y in (-half * 0.75, half * 0.75)
    )
    return layers


def _sheet_metal(rng: np.random.Generator) -> Material:
    sheet = [aluminium, steel, brass, metal][int(rng.integers(4))](rng)
    return Material(sheet.rgb, sheet.grain, sheet.grain_strength, 0.02, sheet.gloss)


def paint_chip(rng: np.random.Generator) -> list[Layer]:
    """Return a flake of one colour with a curled, paler edge."""
    colour = rubber(rng) if rng.random() < 0.5 else plastic(rng)
    flat_colour = Material(colour.rgb, "grain", 0.06, 0.03, 0.1)
    corners = circle_points(0.0, 0.0, 1.0, rng.uniform(0.5, 1.0))[:: int(rng.integers(5, 12))]
    flake = rough(rng, Outline((corners,)), 0.1)
    first, second, *_ = flake.polygons_xy[0]
    curl = Outline((np.stack([first, second, 0.8 * first + 0.2 * flake.polygons_xy[0].mean(axis=0)]),))
    return [Layer(flake, flat_colour), Layer(curl, flat_colour.shaded(1.8), inside=True)]


def _along(outline: Outline, origin_xy: Points, heading_xy: Points) -> Outline:
    """Return the outline moved to `origin_xy` and turned so that its x axis points along `heading_xy`."""
    return outline.moved(1.0, float(np.arctan2(heading_xy[1], heading_xy[0])), origin_xy)
