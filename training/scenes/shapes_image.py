"""Pictures of random shapes on random pavements: the class-agnostic pre-training data of the compact SAM."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from training.scenes.compose import Placed, compose_picture
from training.scenes.drawing.noise import Floats
from training.scenes.drawing.sprite import Sprite
from training.scenes.ground import draw_ground
from training.scenes.light import random_light
from training.scenes.things.shapes import draw_shape, random_size_px

MOSAIC_SHARE = 0.2
MOST_OBJECTS = 8
HEAP_SHARE = 0.35  # of the objects after the first: on or beside an earlier one
REPEAT_SHARE = 0.25  # likewise: an earlier one once more, turned or mirrored
LARGEST_SHARE = 0.6  # of the picture's shorter side, as the square root of an object's area

Masks = npt.NDArray[np.bool_]


def shapes_picture(rng: np.random.Generator, size_hw: tuple[int, int]) -> tuple[npt.NDArray[np.uint8], Masks]:
    """One picture uint8 [H,W,3] RGB and the visible masks bool [N,H,W] of its objects; N is 1 to 8, rarely 0.

    A fifth of the pictures are mosaics: four pictures of half the size, each with its own ground, light and camera.
    """
    if rng.random() < MOSAIC_SHARE:
        return _mosaic(rng, size_hw)
    return _single(rng, size_hw, int(rng.integers(1, MOST_OBJECTS + 1)))


def _single(rng: np.random.Generator, size_hw: tuple[int, int], count: int) -> tuple[npt.NDArray[np.uint8], Masks]:
    ground = draw_ground(rng, size_hw)
    light = random_light(rng)
    placed: list[Placed] = []
    for _ in range(count):
        placed.append(_random_object(rng, ground, light.source_xy, placed))
    picture = compose_picture(rng, ground, placed, light)
    return picture.image_hwc_u8, picture.masks


def _random_object(
    rng: np.random.Generator, ground: Floats, light_xy: tuple[float, float], earlier: Sequence[Placed]
) -> Placed:
    height, width = ground.shape[:2]
    shorter = min(height, width)
    centre_yx = rng.uniform(0.02, 0.98, 2) * (height, width)
    if earlier and rng.random() < HEAP_SHARE:
        under = earlier[int(rng.integers(len(earlier)))]
        centre_yx = np.array(under.top_left_yx) + rng.uniform(0, 1, 2) * under.sprite.size_hw
        centre_yx = np.clip(centre_yx, 0.02 * shorter, (0.98 * height, 0.98 * width))
    if earlier and rng.random() < REPEAT_SHARE:
        sprite = _turned(rng, earlier[int(rng.integers(len(earlier)))].sprite)
    else:
        # one pixel row stands for the ground's colour: the mean over the picture would cost more and say no more
        ground_rgb = ground[int(centre_yx[0])].mean(axis=0)
        sprite = draw_shape(rng, random_size_px(rng, LARGEST_SHARE * shorter), 0.95 * shorter, ground_rgb, light_xy)
    top, left = np.round(centre_yx - np.array(sprite.size_hw) / 2).astype(int)
    return Placed(sprite, (int(top), int(left)), casts_shadow=rng.random() < 0.85)


def _turned(rng: np.random.Generator, sprite: Sprite) -> Sprite:
    """The sprite in one of its eight positions by quarter turns and mirroring."""
    turns, mirrored = int(rng.integers(4)), rng.random() < 0.5
    rgb, alpha = (np.rot90(array, turns) for array in (sprite.rgb_hwc, sprite.alpha_hw))
    return Sprite(rgb[:, ::-1], alpha[:, ::-1]) if mirrored else Sprite(rgb, alpha)


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
