"""Pastes drawn objects on a background with their shadows, and tells the exact visible mask of each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from training.scenes.camera import simulate_camera
from training.scenes.drawing.noise import Floats
from training.scenes.drawing.object_image import ObjectImage
from training.scenes.light import Light, cast_shadow, light_image, overlap

MIN_VISIBLE_PX = 12
MIN_VISIBLE_SHARE = 0.3


@dataclass(frozen=True)
class PlacedObject:
    """A drawn object and the position of its top left corner in the image, in pixels.

    `is_object` is False for what has no label and need not be found.
    """

    drawn: ObjectImage
    top_left_yx: tuple[int, int]
    is_object: bool = True
    casts_shadow: bool = True


@dataclass(frozen=True)
class SceneImage:
    """A finished image: uint8 [H,W,3] RGB, `masks` bool [N,H,W] of the visible parts, one label each."""

    image_hwc_u8: npt.NDArray[np.uint8]
    masks: npt.NDArray[np.bool_]
    labels: tuple[str, ...]


def compose_image(
    rng: np.random.Generator, background_hwc: Floats, placed: Sequence[PlacedObject], light: Light
) -> SceneImage:
    """Paste `placed` in order onto `background_hwc` (float32 [H,W,3], 0..1; overwritten), then light and photograph it.

    Later objects lie on top of earlier ones. An object stays in the image but gets no mask if others leave fewer than
    12 pixels of it, or less than 30 % of its part inside the image: nobody could be asked to find it.
    """
    size_hw = (background_hwc.shape[0], background_hwc.shape[1])
    owner = np.full(size_hw, -1, np.int16)
    areas_px = [_paste(background_hwc, owner, index, thing, light) for index, thing in enumerate(placed)]
    masks, labels = [], []
    for index, (thing, area_px) in enumerate(zip(placed, areas_px, strict=True)):
        visible = owner == index
        if thing.is_object and _worth_finding(int(np.count_nonzero(visible)), area_px):
            masks.append(visible)
            labels.append(thing.drawn.label)
    light_image(rng, background_hwc, light)
    stacked = np.stack(masks) if masks else np.zeros((0, *size_hw), np.bool_)
    return SceneImage(simulate_camera(rng, background_hwc), stacked, tuple(labels))


def _paste(image: Floats, owner: npt.NDArray[np.int16], index: int, thing: PlacedObject, light: Light) -> int:
    """Paste one object and return how many pixels of the image it covers."""
    if thing.casts_shadow:
        cast_shadow(image, thing.drawn.alpha_hw, thing.top_left_yx, light)
    window, part = overlap(owner.shape, thing.drawn.size_hw, thing.top_left_yx)
    alpha = thing.drawn.alpha_hw[part]
    image[window] += alpha[..., None] * (thing.drawn.rgb_hwc[part] - image[window])
    covered = alpha >= 0.5
    owner[window][covered] = index
    return int(np.count_nonzero(covered))


def _worth_finding(visible_px: int, area_px: int) -> bool:
    return visible_px >= MIN_VISIBLE_PX and visible_px >= MIN_VISIBLE_SHARE * area_px
