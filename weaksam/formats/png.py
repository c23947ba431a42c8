"""One PNG for each mask, and a table of them."""

from __future__ import annotations

import csv
from pathlib import Path, PurePosixPath

import cv2
import numpy as np
import numpy.typing as npt

from weaksam.files.csv_cells import path_cell, text_cell
from weaksam.formats.labelled import LabelledSet

INDEX = "masks.csv"
COLUMNS = ("file", "image", "label", "score", "x0", "y0", "x1", "y1")


def write_png(labelled: LabelledSet, out: Path) -> None:
    """Write each mask at the image's size, 255 inside, and a row for each object; `file` is empty without a mask."""
    with (out / INDEX).open("w", encoding="utf-8", newline="") as file:
        table = csv.writer(file, lineterminator="\n")
        table.writerow(COLUMNS)
        for image in labelled.images:
            for number, thing in enumerate(image.objects, start=1):
                mask_hw = thing.mask()
                # The suffix stays in the name: a.jpg and a.png are two images.
                name = "" if mask_hw is None else str(PurePosixPath("masks") / f"{image.file_name}.{number}.png")
                if mask_hw is not None:
                    _write_mask(out / name, mask_hw.astype(np.uint8) * 255)
                cells = (name, path_cell(image.file_name), text_cell(thing.label))
                table.writerow((*cells, thing.score, *thing.box_xyxy))


def _write_mask(path: Path, mask_hw_u8: npt.NDArray[np.uint8]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    _, data = cv2.imencode(".png", mask_hw_u8)
    path.write_bytes(data.tobytes())
