"""JPEG files that are too large for memory, or that lack their end."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from PIL import Image

# An MPO is a JPEG with further images behind the first; cameras write a preview there.
JPEG_FORMATS = ("JPEG", "MPO")
# Scales at which libjpeg decodes without ever holding all pixels.
REDUCTIONS = (1, 2, 4, 8)
END_MARKER = b"\xff\xd9"
# Stands for the missing part of a file. Where a decoder still reads data, it changes what is decoded.
NOISE = bytes(np.random.default_rng(0).integers(0, 255, 4096, np.uint8))
START_OF_PROGRESSIVE, START_OF_SCAN = b"\xff\xc2", b"\xff\xda"
# Of a frame, up to and with its number of components.
HEADER_BYTES = 10
COEFFICIENTS = 64
STRIP_ROWS = 256
# Blocks are 8 or 16 rows high, and chroma reaches one row further.
LAST_ROWS = 17


def is_reducible(image: Image.Image) -> bool:
    """Return whether an opened image can be decoded at a reduced scale."""
    return image.format in JPEG_FORMATS and not image.info.get("progressive")


def reduce_jpeg(image: Image.Image, max_pixels: int) -> None:
    """Let an opened JPEG be decoded at the largest scale of 1/1 to 1/8 that has at most ``max_pixels``.

    A progressive file stays as it is: its decoder holds all coefficients, whatever the scale.
    """
    if not is_reducible(image):
        return
    width, height = image.size
    for reduction in REDUCTIONS:
        if -(-width // reduction) * -(-height // reduction) <= max_pixels:
            image.draft(image.mode, (width // reduction, height // reduction))
            return


@dataclass(frozen=True)
class Completed:
    """Two files with different stand-ins for the missing end of one; they decode alike as far as that one has data."""

    quiet: bytes
    noisy: bytes


def complete_jpeg(data: bytes) -> Completed | None:
    """Return the bytes of a JPEG that lacks its end, completed in two ways; None if a whole scan is missing too."""
    stem = data.rstrip(b"\xff")
    if START_OF_PROGRESSIVE in data and not _has_all_scans(data[data.rfind(START_OF_PROGRESSIVE) :]):
        return None
    return Completed(stem + END_MARKER, stem + NOISE + END_MARKER)


def lost_rows(quiet: Image.Image, noisy: Image.Image) -> int:
    """Return how many rows at the foot of an image the missing end of its file would have changed."""
    for first in range(0, quiet.height, STRIP_ROWS):
        box = (0, first, quiet.width, min(first + STRIP_ROWS, quiet.height))
        differs = np.asarray(quiet.crop(box)) != np.asarray(noisy.crop(box))
        rows = np.flatnonzero(differs.reshape(len(differs), -1).any(axis=1))
        if len(rows):
            return quiet.height - first - int(rows[0])
    return 0


def is_tolerable(rows: int, height: int) -> bool:
    """Return whether an image can do without so many rows: the last blocks or 5 %, but never more than a quarter."""
    return rows <= max(LAST_ROWS, height // 20) and rows <= height // 4


def _has_all_scans(frame: bytes) -> bool:
    """Return whether the scans of a progressive frame bring every coefficient to its last bit (ITU-T T.81, G.1)."""
    if len(frame) < HEADER_BYTES:
        return False
    components = frame[HEADER_BYTES - 1]
    finished = {component: set[int]() for component in frame[HEADER_BYTES : HEADER_BYTES + 3 * components : 3]}
    at = frame.find(START_OF_SCAN)
    while 0 <= at < len(frame) - 4 and at + 5 + 2 * frame[at + 4] + 3 <= len(frame):
        count = frame[at + 4]
        first, last, approximation = frame[at + 5 + 2 * count : at + 8 + 2 * count]
        for component in frame[at + 5 : at + 5 + 2 * count : 2]:
            if approximation & 15 == 0:
                finished.setdefault(component, set()).update(range(first, last + 1))
        at = frame.find(START_OF_SCAN, at + 2)
    return all(len(done) == COEFFICIENTS for done in finished.values())
