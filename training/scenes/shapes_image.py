"""Images of random shapes on random pavements, on which the compact SAM is pre-trained."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from training.scenes.background import draw_background
from training.scenes.drawing.noise import Floats
from training.scenes.drawing.object_image import ObjectImage
from training.scenes.light import random_light
from training.scenes.objects.shapes import draw_shape, random_size_px
from training.scenes.paste_objects import PlacedObject, compose_image
from weaksam.arrays import Masks

MOSAIC_SHARE = 0.2
MAX_OBJECTS = 8
HEAP_SHARE = 0.35  # of the objects after the first: on or beside an earlier one
REPEAT_SHARE = 0.25  # likewise: an earlier one once more, turned or mirrored
MAX_SIZE_SHARE = 0.6  # of the image's shorter side, as the square root of an object's area


def draw_shapes_image(rng: np.random.Generator, size_hw: tuple[int, int]) -> tuple[npt.NDArray[np.uint8], Masks]:
    """Return an image uint8 [H,W,3] RGB and the visible masks bool [N,H,W] of its objects; N is 1 to 8, rarely 0.

    A fifth of the images are mosaics: four images of half the size, each with its own background, light and camera.
    """
    if rng.random() < MOSAIC_SHARE:
        return _mosaic(rng, size_hw)
    return _single(rng, size_hw, int(rng.integers(1, MAX_OBJECTS + 1)))


def _single(rng: np.random.Generator, size_hw: tuple[int, int], count: int) -> tuple[npt.NDArray[np.uint8], Masks]:
    background = draw_background(rng, size_hw)
    light = random_light(rng)
    placed: list[PlacedObject] = []
    for _ in range(count):
        placed.append(_random_object(rng, background, light.source_xy, placed))
    image = compose_image(rng, background, placed, light)
    return image.image_hwc_u8, image.masks


def _random_object(
    rng: np.random.Generator, background: Floats, light_xy: tuple[float, float], earlier: Sequence[PlacedObject]
) -> PlacedObject:
    height, width = background.shape[:2]
    shorter = min(height, width)
    centre_yx = rng.uniform(0.02, 0.98, 2) * (height, width)
    if earlier and rng.random() < HEAP_SHARE:
        under = earlier[int(rng.integers(len(earlier)))]
        centre_yx = np.array(under.top_left_yx) + rng.uniform(0, 1, 2) * under.drawn.size_hw
        centre_yx = np.clip(centre_yx, 0.02 * shorter, (0.98 * height, 0.98 * width))
    if earlier and rng.random() < REPEAT_SHARE:
        drawn = _turned(rng, earlier[int(rng.integers(len(earlier)))].drawn)
    else:
        # one pixel row stands for the background's colour: the mean over the image would cost more and say no more
        background_rgb = background[int(centre_yx[0])].mean(axis=0)
        drawn = draw_shape(rng, random_size_px(rng, MAX_SIZE_SHARE * shorter), 0.95 * shorter, background_rgb, light_xy)
    top, left = np.round(centre_yx - np.array(drawn.size_hw) / 2).astype(int)
    return PlacedObject(drawn, (int(top), int(left)), casts_shadow=rng.random() < 0.85)


def _turned(rng: np.random.Generator, drawn: ObjectImage) -> ObjectImage:
    """Return the object in one of its eight positions by quarter turns and mirroring."""
    turns, mirrored = int(rng.integers(4)), rng.random() < 0.5
    rgb, alpha = (np.rot90(array, turns) for array in (drawn.rgb_hwc, drawn.alpha_hw))
    return ObjectImage(rgb[:, ::-1], alpha[:, ::-1]) if mirrored else ObjectImage(rgb, alpha)


def _mosaic(rng: np.random.Generator, size_hw: tuple[int, int]) -> tuple[npt.NDArray[np.uint8], Masks]:
    height, width = size_hw
    image = np.zeros((height, width, 3), np.uint8)
    masks: list[Masks] = []
    for rows in (slice(0, height // 2), slice(height // 2, height)):
        for columns in (slice(0, width // 2), slice(width // 2, width)):
            tile_hw = (rows.stop - rows.start, columns.stop - columns.start)
            image[rows, columns], tile_masks = _single(rng, tile_hw, int(rng.integers(1, 3)))
            whole = np.zeros((len(tile_masks), height, width), np.bool_)
            whole[:, rows, columns] = tile_masks
            masks.append(whole)
    return image, np.concatenate(masks)
