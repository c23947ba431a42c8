"""What the compact SAM is shown: a square image with the masks of its objects."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from models.nets.backbone import MEAN_RGB
from training.scenes.shapes_image import draw_shapes_image
from weaksam.arrays import ImageU8, Masks

# An image is drawn this much larger than it is learnt and then shrunk, as photographs are when they are letterboxed.
SHRINKS = (1.0, 1.0, 1.5, 2.0)


@dataclass(frozen=True)
class View:
    """A letterboxed image and its objects.

    Attributes:
        image_hwc_u8: [S,S,3] RGB, padded at the bottom and right.
        masks: visible masks [N,T,T] of the same square, T from S to twice S; at least one.
        complete: whether these are all objects; otherwise nothing is known of what lies outside the masks.
    """

    image_hwc_u8: ImageU8
    masks: Masks
    complete: bool


def shapes_view(rng: np.random.Generator, side_px: int) -> View:
    """Return a generated image of random shapes; one in four is not square, so that padding is known."""
    while True:
        shrink = SHRINKS[rng.integers(len(SHRINKS))]
        short_px = side_px if rng.random() < 0.75 else 4 * int(rng.integers(side_px // 8, side_px // 4))
        size_hw = (side_px, short_px) if rng.random() < 0.5 else (short_px, side_px)
        drawn_hw = (round(size_hw[0] * shrink), round(size_hw[1] * shrink))
        drawn_hwc_u8, masks = draw_shapes_image(rng, drawn_hw)
        if len(masks):
            break
    shrunk = np.asarray(cv2.resize(drawn_hwc_u8, size_hw[::-1], interpolation=cv2.INTER_AREA), np.uint8)
    return View(padded_image(shrunk, side_px), padded_masks(masks, round(side_px * shrink)), complete=True)


def padded_image(image_hwc_u8: ImageU8, side_px: int) -> ImageU8:
    """Return the image at the top left of a square [S,S,3] of the mean colour."""
    padded = np.full((side_px, side_px, 3), MEAN_RGB, np.uint8)
    padded[: image_hwc_u8.shape[0], : image_hwc_u8.shape[1]] = image_hwc_u8
    return padded


def padded_masks(masks: Masks, side_px: int) -> Masks:
    """Return masks [N,H,W] at the top left of squares [N,S,S]."""
    return np.pad(masks, ((0, 0), (0, side_px - masks.shape[1]), (0, side_px - masks.shape[2])))
