"""Generated shapes with surfaces out of a photograph: things of several parts that no data set has masks of."""

from __future__ import annotations

import math

import cv2
import numpy as np

from training.sam.images.copy_paste import CutOut
from training.scenes.drawing.noise import Floats
from training.scenes.drawing.textures import Surface, metallic, paint_surface
from training.scenes.light import random_light
from training.scenes.objects.shapes import LONG_BUILDS, draw_shape
from weaksam.arrays import ImageU8

# Square root of a drawn shape's area; `paste` scales it to its size in the image.
SIZES_PX = (24.0, 90.0)
LONG_SHARE = 0.6  # of the shapes: long things, whose parts are hardest to see as one
PHOTOGRAPHED_SHARE = 0.5  # of the parts: covered with a piece of the photograph


def photographed_shape(rng: np.random.Generator, photograph_hwc_u8: ImageU8, longest_px: float) -> CutOut:
    """Return a shape of one to five parts, some covered with pieces of the photograph [H,W,3], some painted."""
    photograph = photograph_hwc_u8.astype(np.float32) / np.float32(255)
    under_rgb = photograph.reshape(-1, 3)[rng.integers(photograph.shape[0] * photograph.shape[1])]
    build = LONG_BUILDS[int(rng.integers(len(LONG_BUILDS)))] if rng.random() < LONG_SHARE else None
    sqrt_area_px = math.exp(rng.uniform(*np.log(SIZES_PX)))
    light_xy = random_light(rng).source_xy
    drawn = draw_shape(rng, sqrt_area_px, longest_px, under_rgb, light_xy, build, _surface_of(photograph))
    return CutOut(np.round(255 * drawn.rgb_hwc).astype(np.uint8), drawn.alpha_hw >= 0.5)


def _surface_of(photograph_hwc: Floats) -> Surface:
    def surface(rng: np.random.Generator, size_hw: tuple[int, int], colour_rgb: Floats) -> Floats:
        draw = rng.random()
        if draw < PHOTOGRAPHED_SHARE:
            return _piece(rng, photograph_hwc, size_hw)
        return metallic(rng, size_hw, colour_rgb) if draw < 0.7 else paint_surface(rng, size_hw, colour_rgb)

    return surface


def _piece(rng: np.random.Generator, photograph_hwc: Floats, size_hw: tuple[int, int]) -> Floats:
    """Return a random piece of the photograph, enlarged or shrunk to the size, darker or lighter."""
    limits_hw = photograph_hwc.shape[:2]
    height, width = (
        int(np.clip(side * math.exp(rng.uniform(-0.7, 0.7)), 4, limit))
        for side, limit in zip(size_hw, limits_hw, strict=True)
    )
    top, left = int(rng.integers(limits_hw[0] - height + 1)), int(rng.integers(limits_hw[1] - width + 1))
    piece = photograph_hwc[top : top + height, left : left + width]
    resized = cv2.resize(piece, size_hw[::-1], interpolation=cv2.INTER_LINEAR)
    return np.asarray(resized * np.float32(rng.uniform(0.5, 1.4)), np.float32)
