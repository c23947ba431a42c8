"""One PNG for each mask, and a table of them."""

from __future__ import annotations

from pathlib import Path, PurePosixPath

import cv2
import numpy as np

from weaksam.arrays import Mask
from weaksam.files.csv_cells import path_cell, text_cell
from weaksam.files.csv_rows import write_csv_rows
from weaksam.formats.labelled import LabelledSet

INDEX = "masks.csv"
COLUMNS = ("file", "image", "label", "score", "x0", "y0", "x1", "y1")


def write_png(labelled: LabelledSet, out: Path) -> None:
    """Write each mask at the image's size, 255 inside, and a row for each object; `file` is empty without a mask."""
    with (out / INDEX).open("w", encoding="utf-8", newline="") as file:
        write_csv_rows(file, [COLUMNS])
        for image in labelled.images:
            for number, thing in enumerate(image.objects, start=1):
                mask_hw = thing.mask()
                # The suffix stays in the name: a.jpg and a.png are two images.
                name = "" if mask_hw is None else str(PurePosixPath("masks") / f"{image.file_name}.{number}.png")
                if mask_hw is not None:
                    path = out / name
                    path.parent.mkdir(parents=True, exist_ok=True)
                    path.write_bytes(encode_mask_png(mask_hw))
                cells = (name, path_cell(image.file_name), text_cell(thing.label))
                write_csv_rows(file, [(*cells, thing.score, *thing.box_xyxy)])


def encode_mask_png(mask_hw: Mask) -> bytes:
    """Mask [H,W] to a one-channel PNG, 255 inside."""
    done, encoded = cv2.imencode(".png", mask_hw.astype(np.uint8) * 255, [cv2.IMWRITE_PNG_COMPRESSION, 3])
    assert done, "OpenCV writes any 8-bit mask"
    return encoded.tobytes()
