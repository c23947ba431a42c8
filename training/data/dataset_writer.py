"""Small files that every written data set has."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

from weaksam.errors import UserError

JPEG_QUALITY = 92


def require_new_folder(out_dir: Path) -> None:
    """Raise UserError if `out_dir` holds anything already."""
    if out_dir.exists() and any(out_dir.iterdir()):
        raise UserError(f"out: {out_dir} is not empty; give a new folder, so that old and new images do not mix")


def write_tags_csv(path: Path, tags_of_file: Mapping[str, Sequence[str]]) -> None:
    """Write two columns, `file` and `tags`; several tags are separated by `;`."""
    with path.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(["file", "tags"])
        writer.writerows([file, ";".join(tags)] for file, tags in tags_of_file.items())


def write_jpeg(path: Path, image_hwc_u8: npt.NDArray[np.uint8], quality: int = JPEG_QUALITY) -> None:
    """Write RGB uint8 [H,W,3] as a JPEG file."""
    Image.fromarray(image_hwc_u8).save(path, quality=quality)


def write_lines(path: Path, lines: Sequence[str]) -> None:
    """Write one line each, with a line end after the last."""
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
