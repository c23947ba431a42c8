"""YOLO's text files: one for each image, one line for each object, all numbers as shares of the image's sides."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path, PurePosixPath

import numpy as np

from weaksam.formats.labelled import (
    LabelledObject,
    LabelledSet,
    PolygonMaker,
    check_list_names,
    one_file_for_each,
    train_and_val,
)

DECIMALS = 6
Line = Callable[[LabelledObject, tuple[int, int]], Iterable[float]]


def write_yolo(labelled: LabelledSet, out: Path) -> None:
    """Write the boxes: class, centre x and y, width, height. Scores have no place in these files."""
    _write(labelled, out, _box_line)


def write_yolo_segments(labelled: LabelledSet, out: Path, polygons: PolygonMaker) -> None:
    """Write the outlines: class, x and y of each corner. Bridges of no width join parts and holes to one outline.

    An object without a mask has the outline of its box.
    """
    _write(labelled, out, partial(_outline_line, polygons=polygons))


def _write(labelled: LabelledSet, out: Path, line: Line) -> None:
    check_list_names(image.file_name for image in labelled.images)
    classes = {name: index for index, name in enumerate(labelled.labels)}
    for image, path in one_file_for_each(labelled, out, ".txt", _beside_images):
        rows = [(classes[thing.label], line(thing, image.size_hw)) for thing in image.objects]
        text = "".join(f"{index} {' '.join(f'{share:.{DECIMALS}f}' for share in shares)}\n" for index, shares in rows)
        path.write_text(text, encoding="utf-8")
    # Lists, not the folder: an image in `images` without a file in `labels` would be one without objects. A line that
    # begins with `./` is read from the folder of the list, and the list from that of data.yaml if `path` is empty.
    splits = train_and_val(labelled)
    for split, part in splits.items():
        lines = "".join(f"./images/{image.file_name}\n" for image in part.images)
        (out / f"{split}.txt").write_text(lines, encoding="utf-8")
    lists = "".join(f"{split}: {split}.txt\n" for split in splits)
    names = "".join(f"  {index}: {_yaml_text(name)}\n" for name, index in classes.items())
    (out / "data.yaml").write_text(f'path: ""\n{lists}names:\n{names}', encoding="utf-8")


def _beside_images(name: PurePosixPath) -> PurePosixPath:
    """Return where YOLO looks for the labels of an image: in `labels` beside the last folder `images` of its path."""
    folders = ["images", *name.parts[:-1]]
    last = max(place for place, folder in enumerate(folders) if folder == "images")
    return PurePosixPath(*folders[:last], "labels", *folders[last + 1 :], name.name)


def _yaml_text(text: str) -> str:
    """Return a text as YAML: as JSON, except for emoji and rare letters, which JSON would escape as two halves."""
    letters = (f"\\U{ord(letter):08x}" if ord(letter) > 0xFFFF else json.dumps(letter)[1:-1] for letter in text)
    return f'"{"".join(letters)}"'


def _box_line(thing: LabelledObject, size_hw: tuple[int, int]) -> Iterable[float]:
    (x0, y0, x1, y1), (height, width) = thing.box_xyxy, size_hw
    return (x0 + x1) / 2 / width, (y0 + y1) / 2 / height, (x1 - x0) / width, (y1 - y0) / height


def _outline_line(thing: LabelledObject, size_hw: tuple[int, int], polygons: PolygonMaker) -> Iterable[float]:
    shares = polygons.outline_shares(thing, DECIMALS)
    if shares is None:
        x0, y0, x1, y1 = thing.box_xyxy
        shares = np.array([(x0, y0), (x1, y0), (x1, y1), (x0, y1)]) / size_hw[::-1]
    numbers: list[float] = shares.ravel().tolist()
    return numbers
