"""COCO's compressed run lengths of masks: written, read, and checked.

pycocotools trusts every sign, and reads over the end of memory: what others wrote is checked before.
"""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt
from pycocotools import mask as coco_mask

from weaksam.arrays import Mask
from weaksam.errors import UserError
from weaksam.mask_schemas import Rle
from weaksam.schemas import Box

# pycocotools counts pixels in 32 bits.
MAX_PIXELS = 2**31 - 1
# A sign holds five bits, and a sixth that says whether the number goes on.
BITS, FIRST_SIGN, MORE, NEGATIVE = 5, 48, 32, 16
MAX_SIGNS = 7


def encode_rle(mask_hw: Mask) -> Rle:
    """Mask [H,W] to COCO compressed run lengths (column-major, first run is background)."""
    encoded = coco_mask.encode(np.asfortranarray(mask_hw).view(np.uint8))
    return {"size": [int(side) for side in encoded["size"]], "counts": encoded["counts"].decode("ascii")}


def decode_rle(rle: Rle) -> Mask:
    """COCO compressed run lengths to a C-ordered mask [H,W]."""
    decoded = coco_mask.decode({"size": rle["size"], "counts": rle["counts"].encode("ascii")})  # [H,W], column-major
    # OpenCV reorders memory in blocks: of a large photograph in a tenth of the time that numpy takes.
    return np.asarray(cv2.transpose(decoded.T), np.uint8).view(np.bool_)


def rle_box(rle: Rle) -> Box:
    """Return the tight box of COCO compressed run lengths, half-open, in pixels; zeros if the mask is empty."""
    x, y, width, height = coco_mask.toBbox(rle).tolist()
    return x, y, x + width, y + height


def check_mask(rle: Rle, size_hw: tuple[int, int]) -> None:
    """Check compressed run lengths (`size` and `counts`) of a mask of an image.

    Raises:
        UserError: the mask has another size than the image, or its runs cannot be read or do not fill it.
    """
    if tuple(rle["size"]) != size_hw:
        raise UserError(f"size is {list(rle['size'])}, the image's is {list(size_hw)}: give the mask the image's size")
    height, width = size_hw
    if height * width > MAX_PIXELS:
        raise UserError(f"size is {[height, width]}, a mask has at most {MAX_PIXELS} pixels: label a smaller image")
    pixels = int(run_lengths(rle["counts"]).sum())
    if pixels != height * width:
        raise UserError(f"counts has runs of {pixels} pixels, the image has {height * width}: encode the mask again")


def run_lengths(counts: str) -> npt.NDArray[np.int64]:
    """Return the lengths of the runs, background first.

    From https://github.com/cocodataset/cocoapi/blob/8c9bcc3cf640524c4c20a9c40e89cb6a2f2fa0e9/common/maskApi.c#L218
    (`rleFrString`), with checks.

    Raises:
        UserError: the text cannot be read.
    """
    unreadable = UserError(f"counts is {counts[:40]!r}, which is no compressed run lengths: encode the mask again")
    if not counts or not counts.isascii():
        raise unreadable
    signs = np.frombuffer(counts.encode("ascii"), np.uint8).astype(np.int64) - FIRST_SIGN  # [N]
    ends = np.flatnonzero(signs & MORE == 0)  # [R]
    if signs.min() < 0 or signs.max() >= 2 * MORE or signs[-1] & MORE:
        raise unreadable
    sizes = np.diff(ends, prepend=-1)  # [R], signs of each number
    if sizes.max() > MAX_SIGNS:
        raise unreadable
    starts = ends - sizes + 1
    places = np.arange(len(signs)) - np.repeat(starts, sizes)
    lengths = np.add.reduceat((signs & (MORE - 1)) << (BITS * places), starts)
    lengths -= np.where(signs[ends] & NEGATIVE, 1 << (BITS * sizes), 0)
    # From the fourth on, each is the difference to the one before the last.
    lengths[1::2] = lengths[1::2].cumsum()
    lengths[2::2] = lengths[2::2].cumsum()
    if lengths.min() < 0:
        raise unreadable
    return lengths
