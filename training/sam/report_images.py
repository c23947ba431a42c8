"""Images of a compact SAM's best, middling and worst masks."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from models.image import read_image
from models.letterbox import Letterbox
from models.masks.drawing import mask_box
from models.masks.levels import best_level
from models.nets.backbone import MEAN_RGB
from training.sam.answers import AskedImage, AskedSam, open_asked_sam
from training.sam.prompt_map import innermost_point
from training.sam.report import ObjectRow
from weaksam.arrays import ImageU8
from weaksam.formats.run_lengths import decode_rle

TILE_PX = 240
COLUMNS = 6
CONTEXT_SHARE = 0.4  # of the object's longer side, around it
TRUE_RGB, FOUND_RGB = (40, 220, 40), (255, 40, 40)


def draw_report(source: Path, rows: Sequence[ObjectRow], out_dir: Path, *, zoom: bool) -> None:
    """Write best.png, median.png and worst.png by the IoU from a box: above from the box, below from a point.

    The true outline is green, the answer's red.
    """
    sam = open_asked_sam(source, zoom=zoom)
    out_dir.mkdir(parents=True, exist_ok=True)
    ranked = sorted(rows, key=lambda row: row.ious["box"])
    middle = max(0, (len(ranked) - COLUMNS) // 2)
    for name, chosen in (
        ("best", ranked[-COLUMNS:]),
        ("median", ranked[middle : middle + COLUMNS]),
        ("worst", ranked[:COLUMNS]),
    ):
        tiles = np.concatenate([_tiles(sam, row) for row in chosen], axis=1)
        cv2.imwrite(str(out_dir / f"{name}.png"), tiles[..., ::-1])


def _tiles(sam: AskedSam, row: ObjectRow) -> ImageU8:
    """Return two tiles [2T,T,3] of one object."""
    rle = row.image.objects[row.number].mask_rle
    assert rle is not None, "only objects with masks have rows"
    true_hw, pixels = decode_rle(rle), read_image(row.image.path)
    box_xyxy = mask_box(true_hw)
    asked = AskedImage(sam, pixels)
    answers = (asked.from_box(box_xyxy), asked.from_point(np.array(innermost_point(true_hw), np.float32)))
    found = [best_level(answer).draw() for answer in answers]
    return np.concatenate([_tile(pixels, box_xyxy, true_hw, mask) for mask in found])


def _tile(
    pixels: ImageU8, box_xyxy: npt.NDArray[np.float32], true_hw: npt.NDArray[np.bool_], found_hw: npt.NDArray[np.bool_]
) -> ImageU8:
    sides = box_xyxy[2:] - box_xyxy[:2]
    centre, half = (box_xyxy[:2] + box_xyxy[2:]) / 2, (0.5 + CONTEXT_SHARE) * sides.max()
    left, top = np.floor(centre - half).astype(int).clip(0).tolist()
    right, bottom = np.ceil(centre + half).astype(int).tolist()
    letterbox = Letterbox(pixels[top:bottom, left:right].shape[:2], TILE_PX)
    tile = letterbox.apply(pixels[top:bottom, left:right], MEAN_RGB)
    height, width = letterbox.valid_hw
    for mask, colour in ((true_hw, TRUE_RGB), (found_hw, FOUND_RGB)):
        part = cv2.resize(np.ascontiguousarray(mask[top:bottom, left:right]).astype(np.uint8), (width, height))
        outlines, _ = cv2.findContours(part, cv2.RETR_LIST, cv2.CHAIN_APPROX_NONE)
        cv2.drawContours(tile, outlines, -1, colour, 1)
    return tile
