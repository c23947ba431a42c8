"""Distractors: things without a label that lie about, such as leaves and scraps."""

from __future__ import annotations

import numpy as np

from training.scenes.drawing.basic_outlines import band, curve, path
from training.scenes.drawing.layers import Layer, Material, render
from training.scenes.drawing.noise import Floats
from training.scenes.drawing.object_image import ObjectImage
from training.scenes.drawing.outline import Outline
from training.scenes.objects.shapes import compound, draw_shape
from training.scenes.paste_objects import PlacedObject


def draw_distractors(
    rng: np.random.Generator, background_hwc: Floats, light_xy: tuple[float, float]
) -> list[PlacedObject]:
    """Return up to six small unlabelled things, placed on the background float32 [H,W,3]."""
    height, width = background_hwc.shape[:2]
    placed = []
    for _ in range(int(rng.choice(7, p=[0.3, 0.2, 0.15, 0.12, 0.1, 0.08, 0.05]))):
        centre_yx = rng.uniform(0, 1, 2) * (height, width)
        background_rgb = background_hwc[int(centre_yx[0])].mean(axis=0)
        drawn = (
            _leaf(rng, min(height, width), light_xy) if rng.random() < 0.5 else _scrap(rng, background_rgb, light_xy)
        )
        placed.append(at_centre(drawn, (centre_yx[0], centre_yx[1]), is_object=False))
    return placed


def at_centre(drawn: ObjectImage, centre_yx: tuple[float, float], *, is_object: bool) -> PlacedObject:
    """Return the object placed with the middle of its own image at `centre_yx` (pixels)."""
    height, width = drawn.size_hw
    top_left_yx = (round(centre_yx[0] - height / 2), round(centre_yx[1] - width / 2))
    return PlacedObject(drawn, top_left_yx, is_object=is_object)


def _leaf(rng: np.random.Generator, shorter_px: int, light_xy: tuple[float, float]) -> ObjectImage:
    level = rng.uniform(0.25, 0.6)
    green = rng.random() < 0.3
    rgb = (level * 0.6, level, level * 0.3) if green else (level, level * rng.uniform(0.5, 0.8), level * 0.3)
    blade, bulge = Material(rgb, "rough", 0.15, 0.1, 0.0), rng.uniform(0.25, 0.5)
    spine = curve([(-0.8, 0.0), (0.0, rng.uniform(-0.2, 0.2)), (1.0, 0.0)])
    upper = curve([(-0.8, 0.0), (-0.5, bulge * 2), (0.4, bulge), (1.0, 0.0)])
    lower = curve([(-0.8, 0.0), (-0.5, -bulge * 2), (0.4, -bulge), (1.0, 0.0)])
    layers = [
        Layer(band(np.linspace((-1.1, 0.0), (-0.75, 0.0), 4), 0.02, 0.03), blade.shaded(0.6)),
        Layer(Outline((np.concatenate([upper, lower[::-1]]),)), blade),
        Layer(path(spine, 0.03), blade.shaded(0.6), inside=True),
    ]
    return render(rng, layers, shorter_px * rng.uniform(0.03, 0.12), light_xy, label="")


def _scrap(rng: np.random.Generator, background_rgb: Floats, light_xy: tuple[float, float]) -> ObjectImage:
    return draw_shape(rng, rng.uniform(3.0, 12.0), 40.0, background_rgb, light_xy, compound)
