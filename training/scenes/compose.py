"""Lay drawn objects onto a ground, with their shadows, and keep the exact visible mask of each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from training.scenes.camera import photograph
from training.scenes.drawing.noise import Floats
from training.scenes.drawing.sprite import Sprite
from training.scenes.light import Light, cast_shadow, light_picture, overlap

SMALLEST_VISIBLE_PX = 12
SMALLEST_VISIBLE_SHARE = 0.3


@dataclass(frozen=True)
class Placed:
    """A sprite with its top left corner's place in the picture; not every placed thing is an object to be found."""

    sprite: Sprite
    top_left_yx: tuple[int, int]
    is_object: bool = True
    casts_shadow: bool = True


@dataclass(frozen=True)
class Picture:
    """`image_hwc_u8` uint8 [H,W,3] RGB, `masks` bool [N,H,W] of the visible parts, one label each."""

    image_hwc_u8: npt.NDArray[np.uint8]
    masks: npt.NDArray[np.bool_]
    labels: tuple[str, ...]


def compose_picture(rng: np.random.Generator, ground_hwc: Floats, placed: Sequence[Placed], light: Light) -> Picture:
    """Paste `placed` in order onto `ground_hwc` (float32 [H,W,3], 0..1; overwritten), light it and photograph it.

    Later ones lie on top of earlier ones. An object that others leave fewer than 12 pixels, or less than 30 % of its
    part inside the picture, stays in the picture and is dropped from the answer: nobody could be asked to find it.
    """
    size_hw = (ground_hwc.shape[0], ground_hwc.shape[1])
    owner = np.full(size_hw, -1, np.int16)
    areas_px = [_paste(ground_hwc, owner, index, thing, light) for index, thing in enumerate(placed)]
    masks, labels = [], []
    for index, (thing, area_px) in enumerate(zip(placed, areas_px, strict=True)):
        visible = owner == index
        if thing.is_object and _worth_finding(int(np.count_nonzero(visible)), area_px):
            masks.append(visible)
            labels.append(thing.sprite.label)
    light_picture(rng, ground_hwc, light)
    stacked = np.stack(masks) if masks else np.zeros((0, *size_hw), np.bool_)
    return Picture(photograph(rng, ground_hwc), stacked, tuple(labels))


def _paste(image: Floats, owner: npt.NDArray[np.int16], index: int, thing: Placed, light: Light) -> int:
    """Returns how many pixels of the picture the object covers."""
    if thing.casts_shadow:
        cast_shadow(image, thing.sprite.alpha_hw, thing.top_left_yx, light)
    window, part = overlap(owner.shape, thing.sprite.size_hw, thing.top_left_yx)
    alpha = thing.sprite.alpha_hw[part]
    image[window] += alpha[..., None] * (thing.sprite.rgb_hwc[part] - image[window])
    covered = alpha >= 0.5
    owner[window][covered] = index
    return int(np.count_nonzero(covered))


def _worth_finding(visible_px: int, area_px: int) -> bool:
    return visible_px >= SMALLEST_VISIBLE_PX and visible_px >= SMALLEST_VISIBLE_SHARE * area_px
