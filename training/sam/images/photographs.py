"""Photographs with masks as the compact SAM is shown them: drawn by domain, image and object, cropped and scaled."""

from __future__ import annotations

import math
from collections.abc import Sequence

import cv2
import numpy as np
import numpy.typing as npt
from pycocotools import mask as coco_mask

from models.image import read_image
from models.letterbox import Letterbox
from training.data.open_dataset import open_dataset
from training.data.tagged import TaggedImage, TrueObject
from training.sam.config import SourceConfig
from training.sam.images.colour_changes import change_colours
from training.sam.images.copy_paste import CutOut, cut_out, paste
from training.sam.images.pasted_shapes import photographed_shape
from training.sam.images.views import View, padded_image, padded_masks
from weaksam.arrays import ImageU8, Masks
from weaksam.errors import UserError
from weaksam.schemas import Box

WHOLE_SHARE = 0.25  # of views that are not cropped
# Side of an object's box in a crop's, both as square roots of areas: from a thing far away to one that fills the view.
OBJECT_SHARES = (0.03, 0.9)
MAX_ASPECT = 1.6
MAX_ENLARGEMENT = 3.0
MIN_AREA_PX = 16
# Of an object cut by the view's edge, or covered, the part that must be left for it to be asked for.
MIN_VISIBLE_SHARE = 0.2
PASTE_SHARE = 0.4
MAX_PASTED = 3
MAX_SHAPES = 8

Domain = tuple[TaggedImage, ...]


def read_domains(source: SourceConfig) -> list[Domain]:
    """Return the images of a source that have masks, by the folder they lie in, excluded domains left out.

    Raises:
        UserError: a domain to leave out does not exist, or no image with masks is left.
    """
    domains: dict[str, list[TaggedImage]] = {}
    for image in open_dataset(source.data, source.split).images:
        if any(thing.mask_rle is not None for thing in image.objects):
            domains.setdefault(domain_of(image), []).append(image)
    unknown = set(source.exclude_domains) - set(domains)
    if unknown:
        raise UserError(f"exclude_domains: {source.data} has no {min(unknown)!r}; it has {sorted(domains)}")
    kept = [tuple(domains[name]) for name in sorted(domains) if name not in source.exclude_domains]
    if not kept:
        raise UserError(f"sources: {source.data} has no image with masks in split {source.split!r}")
    return kept


def domain_of(image: TaggedImage) -> str:
    """Return the first folder of an image's id; an empty text for images that lie in none."""
    return image.id.partition("/")[0] if "/" in image.id else ""


def crop_view(
    rng: np.random.Generator, domains: Sequence[Domain], side_px: int, pasted_shapes_share: float = 0.0
) -> View:
    """Return a crop around an object drawn by domain, then image, then object; often with objects of others pasted.

    A share of the crops has generated shapes on it, too, with surfaces out of another photograph.
    """
    while True:
        view = _flipped(rng, *_crop(rng, *_drawn(rng, domains), side_px))
        pasted = int(rng.integers(1, MAX_PASTED + 1)) if rng.random() < PASTE_SHARE else 0
        for _ in range(pasted):
            view = paste(rng, *view, _drawn_cut_out(rng, domains))
        image_hwc_u8, masks = _with_shapes(rng, *view, domains) if rng.random() < pasted_shapes_share else view
        masks = masks[masks.sum((1, 2)) >= MIN_AREA_PX]
        if len(masks):
            changed = change_colours(rng, image_hwc_u8)
            return View(padded_image(changed, side_px), padded_masks(masks, side_px), complete=False)


def _drawn(rng: np.random.Generator, domains: Sequence[Domain]) -> tuple[TaggedImage, TrueObject]:
    domain = domains[int(rng.integers(len(domains)))]
    image = domain[rng.integers(len(domain))]
    things = [thing for thing in image.objects if thing.mask_rle is not None]
    return image, things[rng.integers(len(things))]


def _drawn_cut_out(rng: np.random.Generator, domains: Sequence[Domain]) -> CutOut:
    image, thing = _drawn(rng, domains)
    return cut_out(read_image(image.path), _decode([thing])[0])


def _with_shapes(
    rng: np.random.Generator, image_hwc_u8: ImageU8, masks: Masks, domains: Sequence[Domain]
) -> tuple[ImageU8, Masks]:
    image, _ = _drawn(rng, domains)
    photograph_hwc_u8 = read_image(image.path)
    for _ in range(int(rng.integers(1, MAX_SHAPES + 1))):
        longest_px = float(max(image_hwc_u8.shape[:2]))
        thing = photographed_shape(rng, photograph_hwc_u8, longest_px)
        image_hwc_u8, masks = paste(rng, image_hwc_u8, masks, thing)
    return image_hwc_u8, masks


def _crop(rng: np.random.Generator, image: TaggedImage, thing: TrueObject, side_px: int) -> tuple[ImageU8, Masks]:
    """Return the part of an image around an object, scaled to fit the square, and the masks of what is seen of it."""
    left, top, right, bottom = crop_window(rng, image.size_hw, thing.box_xyxy, side_px)
    valid_hw = Letterbox((bottom - top, right - left), side_px).valid_hw
    seen = [
        other
        for other in image.objects
        if other.mask_rle is not None
        and min(other.box_xyxy[2], right) > max(other.box_xyxy[0], left)
        and min(other.box_xyxy[3], bottom) > max(other.box_xyxy[1], top)
    ]
    whole = _decode(seen)
    cropped = whole[:, top:bottom, left:right]
    kept = cropped.sum((1, 2)) >= MIN_VISIBLE_SHARE * whole.sum((1, 2))
    masks = [_scale_mask(mask, valid_hw) for mask in cropped[kept]]
    pixels = read_image(image.path)[top:bottom, left:right]
    shrinking = valid_hw[0] < bottom - top
    scaled = cv2.resize(pixels, valid_hw[::-1], interpolation=cv2.INTER_AREA if shrinking else cv2.INTER_LINEAR)
    return np.asarray(scaled, np.uint8), np.array(masks, np.bool_).reshape(-1, *valid_hw)


def crop_window(
    rng: np.random.Generator, image_hw: tuple[int, int], box_xyxy: Box, side_px: int
) -> tuple[int, int, int, int]:
    """Return left, top, right and bottom of a crop in which the box takes a random share, so that all sizes appear."""
    if rng.random() < WHOLE_SHARE:
        return 0, 0, image_hw[1], image_hw[0]
    low_xy, high_xy = np.array(box_xyxy).reshape(2, 2)
    thing_px = math.sqrt(np.prod(np.maximum(high_xy - low_xy, 1)))
    wanted_px = thing_px / math.exp(rng.uniform(*np.log(OBJECT_SHARES)))
    aspect = math.exp(rng.uniform(-1, 1) * math.log(MAX_ASPECT) / 2)
    image_wh = np.array(image_hw[::-1])
    least_wh = np.minimum(image_wh, side_px / MAX_ENLARGEMENT)
    size_wh = np.clip(np.array([wanted_px * aspect, wanted_px / aspect]), least_wh, image_wh).round().astype(int)
    # Where the box fits it lies inside as a whole; where it does not, the crop lies inside the box.
    ends = np.sort(np.stack([high_xy - size_wh, low_xy]), axis=0)
    start_xy = np.clip(rng.uniform(ends[0], ends[1]).round().astype(int), 0, image_wh - size_wh)
    (left, top), (right, bottom) = start_xy.tolist(), (start_xy + size_wh).tolist()
    return left, top, right, bottom


def _decode(things: Sequence[TrueObject]) -> Masks:
    """Return the masks [N,H,W] of objects of one image."""
    encoded = [
        {"size": thing.mask_rle["size"], "counts": thing.mask_rle["counts"].encode("ascii")}
        for thing in things
        if thing.mask_rle is not None
    ]
    decoded: Masks = coco_mask.decode(encoded).transpose(2, 0, 1).astype(np.bool_)
    return decoded


def _scale_mask(mask_hw: npt.NDArray[np.bool_], size_hw: tuple[int, int]) -> npt.NDArray[np.bool_]:
    shrinking = size_hw[0] < mask_hw.shape[0]
    interpolation = cv2.INTER_AREA if shrinking else cv2.INTER_LINEAR
    scaled: npt.NDArray[np.bool_] = (
        cv2.resize(mask_hw.astype(np.uint8) * 255, size_hw[::-1], interpolation=interpolation) >= 128
    )
    return scaled


def _flipped(rng: np.random.Generator, image_hwc_u8: ImageU8, masks: Masks) -> tuple[ImageU8, Masks]:
    """Return a view mirrored, or turned by a quarter, as chance has it."""
    if rng.random() < 0.5:
        image_hwc_u8, masks = image_hwc_u8[:, ::-1], masks[:, :, ::-1]
    turns = int(rng.integers(1, 4)) if rng.random() < 0.3 else 0
    turned, masks = np.rot90(image_hwc_u8, turns), np.rot90(masks, turns, axes=(1, 2))
    return np.ascontiguousarray(turned), np.ascontiguousarray(masks)
