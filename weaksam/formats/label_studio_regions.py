"""Label Studio's regions: boxes, brush strokes and polygons in the form of its tasks and predictions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from weaksam.arrays import Mask
from weaksam.errors import UserError
from weaksam.formats.labelled import LabelledObject, PolygonMaker
from weaksam.schemas import Box

# Each is the lower case of the tag that draws it in a labelling interface.
RegionKind = Literal["rectanglelabels", "brushlabels", "polygonlabels"]
# Bits of a run's length, smallest first: the format's header names them, and each block says which it uses.
LENGTH_BITS = (3, 4, 8, 16)
HALF = 128  # of a value's 255: where a stroke ends, it covers pixels in part
# Of a corner in percent: a thousandth of a pixel in an image of 100 000 pixels.
SHARE_DECIMALS = 10


@dataclass(frozen=True)
class RegionTarget:
    """The tags of a labelling interface that a region belongs to.

    Attributes:
        kind: what the region is drawn as.
        from_name: name of the tag that it is drawn with.
        to_name: name of the image's tag.
    """

    kind: RegionKind
    from_name: str
    to_name: str


def region(
    thing: LabelledObject, label: str, target: RegionTarget, id_: str, size_hw: tuple[int, int], polygons: PolygonMaker
) -> dict[str, Any] | None:
    """Return one region; None if the target needs a mask and the object has none, or an empty one.

    Args:
        label: as the labelling interface writes it.
        id_: different for each region of an image.
        size_hw: of the image.
        polygons: makes the outline for a polygon.
    """
    value = _value(thing, target.kind, size_hw, polygons)
    if value is None:
        return None
    return {
        "id": id_,
        "from_name": target.from_name,
        "to_name": target.to_name,
        "type": target.kind,
        "original_width": size_hw[1],
        "original_height": size_hw[0],
        "image_rotation": 0,
        "score": thing.score,
        "value": value | {target.kind: [label]},
    }


def model_version(bundle: dict[str, Any]) -> str:
    """Return the version of predictions: name, version and digest of the bundle that made them.

    Label Studio predicts a task again only if this has changed.
    """
    parts = (bundle.get("name"), bundle.get("version"), str(bundle.get("digest", ""))[:12])
    return " ".join(["weaksam", *(part for part in parts if part)])


def brush_run_lengths(mask_hw: Mask) -> list[int]:
    """Return a mask [H,W] as bytes of Label Studio's brush.

    A stream of bits codes the rows' RGBA values, 255 inside and 0 outside: 32 bits number of values, 5 bits word
    size less 1, four times 4 bits length size less 1, then runs. A run is a 1, two bits for the length size, the
    length less 1 and the value.
    """
    values = mask_hw.ravel()
    edges = np.flatnonzero(np.diff(values)) + 1
    bits = [f"{4 * values.size:032b}", f"{7:05b}", *(f"{size - 1:04b}" for size in LENGTH_BITS)]
    for start, end in pairwise([0, *edges.tolist(), values.size]):
        bits += _run(4 * (end - start), 255 if values[start] else 0)
    stream = "".join(bits)
    return np.packbits(np.frombuffer(stream.encode(), np.uint8) - ord("0")).tolist()


def brush_mask(data: Sequence[int], size_hw: tuple[int, int]) -> Mask:
    """Return the mask [H,W] of bytes as `brush_run_lengths` writes them: the pixels that are at least half covered.

    Label Studio's own brush also writes blocks that begin with a 0: as many values as they say, each for itself.

    Raises:
        UserError: the bytes end early, or are of an image of another size.
    """
    bits = _Bits(data)
    count, value_bits = bits.number(32), bits.number(5) + 1
    length_bits = [bits.number(4) + 1 for _ in LENGTH_BITS]
    if (count, value_bits) != (4 * size_hw[0] * size_hw[1], 8):
        raise UserError(f"{count} values of {value_bits} bits are no RGBA values of {size_hw[1]}x{size_hw[0]} pixels")
    values = np.zeros(count, np.uint8)
    start = 0
    while start < count:
        is_run = bits.number(1)
        end = start + bits.number(length_bits[bits.number(2)]) + 1
        if end > count:
            raise UserError(f"a block ends at value {end} of {count}")
        values[start:end] = bits.number(8) if is_run else bits.values(end - start)
        start = end
    return values.reshape(*size_hw, 4)[..., 3] >= HALF


class _Bits:
    """A stream of bits, read from its start on."""

    def __init__(self, data: Sequence[int]) -> None:
        self._bits = np.unpackbits(np.array(data, np.uint8))
        self._text = (self._bits + ord("0")).tobytes().decode()
        self._place = 0

    def number(self, size: int) -> int:
        """Return the number in the next bits."""
        return int(self._text[self._next(size)], 2)

    def values(self, count: int) -> npt.NDArray[np.uint8]:
        """Return the next bytes [count]."""
        return np.packbits(self._bits[self._next(8 * count)])

    def _next(self, size: int) -> slice:
        start, self._place = self._place, self._place + size
        if self._place > len(self._text):
            raise UserError("the bytes end early")
        return slice(start, self._place)


def _run(length: int, value: int) -> list[str]:
    longest = 1 << LENGTH_BITS[-1]
    parts = [longest] * (length // longest) + [length % longest] * (length % longest > 0)
    blocks = []
    for part in parts:
        index, size = next((index, size) for index, size in enumerate(LENGTH_BITS) if part <= 1 << size)
        blocks.append(f"1{index:02b}{part - 1:0{size}b}{value:08b}")
    return blocks


def _value(
    thing: LabelledObject, kind: RegionKind, size_hw: tuple[int, int], polygons: PolygonMaker
) -> dict[str, Any] | None:
    if kind == "rectanglelabels":
        return _box_value(thing.box_xyxy, size_hw)
    if kind == "polygonlabels":
        shares = polygons.outline_shares(thing, SHARE_DECIMALS)
        return None if shares is None else {"points": (100 * shares).tolist(), "closed": True}
    mask_hw = thing.mask()
    if mask_hw is None or not mask_hw.any():
        return None
    return {"format": "rle", "rle": brush_run_lengths(mask_hw)}


def _box_value(box_xyxy: Box, size_hw: tuple[int, int]) -> dict[str, Any]:
    (x0, y0, x1, y1), (height, width) = box_xyxy, size_hw
    shares = {"x": x0 / width, "y": y0 / height, "width": (x1 - x0) / width, "height": (y1 - y0) / height}
    return {**{name: 100 * share for name, share in shares.items()}, "rotation": 0}
