"""Reader for YOLO trees: boxes and polygons.

    ROOT/data.yaml              names of the classes; train, val and test are folders (or lists) of images
    ROOT/images/train/x.jpg     ROOT/labels/train/x.txt       Ultralytics' layout, or
    ROOT/train/images/x.jpg     ROOT/train/labels/x.txt       Roboflow's, with or without data.yaml's paths being right
    ROOT/classes.txt            without data.yaml: names, one a line; images and labels in images/ and labels/, or
                                together in ROOT (LabelImg, Label Studio); all are `train`

A line of a label file is `class x y width height` (the box's middle, in shares of the sides; a score may follow) or
`class x y x y x y ...` (a polygon, of which the box is made). With `kpt_shape` in data.yaml, points follow a box. An
image without a label file, or with an empty one, is a negative, as it is for YOLO itself.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from pathlib import Path, PurePosixPath
from typing import Any

import yaml

from training.data.checks import Report, distinct_labels, read_lines, read_names, read_text
from training.data.locate import entries, image_id, image_paths, report_unnamed
from training.data.polygons import polygons_box
from training.data.splits import read_split, split_of_name
from training.data.tagged import TaggedDataset
from training.data.written import WrittenImage, WrittenObject, checked_dataset
from weaksam.errors import UserError
from weaksam.files.path_checks import is_dir, is_file
from weaksam.files.text_files import decoded, lines_of

SPLIT_KEYS = ("train", "val", "valid", "test")
_COUNT = re.compile(r"\d{1,9}")
BOX_NUMBERS, BOX_AND_SCORE_NUMBERS, MIN_POLYGON_NUMBERS = 4, 5, 6


def is_yolo(root: Path) -> bool:
    return _yaml_path(root) is not None or (is_file(root / "classes.txt") and bool(_label_files(root)))


def read_yolo(root: Path, split: str) -> TaggedDataset:
    """Read the images of one split; see `read_split` for `val` and `fit`.

    Raises:
        UserError: data.yaml cannot be used, or there is no such split.
    """
    config = _config(root)
    names, keypoint_numbers = _class_names(root, config), _keypoint_numbers(config)
    paths_of = {name: _images(root, places) for name, places in _image_folders(root, config).items()}
    return read_split(root.name, split, paths_of, lambda name: _read(root, paths_of, names, keypoint_numbers, name))


def _yaml_path(root: Path) -> Path | None:
    """Return data.yaml, or the YAML file that names classes under another name."""
    paths = [path for path in entries(root) if path.suffix in (".yaml", ".yml") and is_file(path)]
    usual = [path for path in paths if path.stem in ("data", "dataset")]
    return next(
        iter((*usual, *(path for path in paths if re.search(rb"^names\s*:", path.read_bytes(), re.MULTILINE)))), None
    )


def _label_files(root: Path) -> list[Path]:
    return [path for path in (*root.glob("labels/**/*.txt"), *root.glob("*.txt")) if path.name != "classes.txt"]


def _config(root: Path) -> dict[str, Any]:
    path = _yaml_path(root)
    if path is None:
        return {"names": read_names(root / "classes.txt")}
    text = read_text(path)
    try:
        # All values as texts: a class may be called `no`, which YAML takes for False.
        config = yaml.load(text, Loader=yaml.BaseLoader)  # noqa: S506 - it makes texts, lists and tables alone
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        raise UserError(f"{path}: is not YAML ({' '.join(str(error).split())}); write it anew") from error
    if not isinstance(config, dict):
        raise UserError(f"{path}: must hold names: and the folders of train: and val:")
    return config


def _class_names(root: Path, config: dict[str, Any]) -> dict[int, str]:
    names = config.get("names")
    rows = list(enumerate(names)) if isinstance(names, list) else list(names.items()) if isinstance(names, dict) else []
    named = ((str(index), name) for index, name in rows if isinstance(name, str) and name.strip())
    by_index = {int(index): name for index, name in named if _COUNT.fullmatch(index)}
    if not by_index:
        raise UserError(f"{_yaml_path(root) or root / 'classes.txt'}: names: must list the classes")
    return by_index


def _keypoint_numbers(config: dict[str, Any]) -> int:
    """Return how many numbers follow a box in data sets of poses: points, times the 2 or 3 numbers of each."""
    shape = config.get("kpt_shape")
    sides = [int(side) for side in shape if _COUNT.fullmatch(str(side))] if isinstance(shape, list) else []
    return math.prod(sides) if len(sides) == 2 else 0


def _image_folders(root: Path, config: dict[str, Any]) -> dict[str, list[Path]]:
    """Return the folders, or the lists, of images by split."""
    named = {split_of_name(key): config.get(key) for key in SPLIT_KEYS if config.get(key)}
    found = {split: _existing(root, config.get("path"), entry) for split, entry in named.items()}
    if any(found.values()):
        return {split: paths for split, paths in found.items() if paths}
    usual = {
        split_of_name(path.parent.name if path.name == "images" else path.name): [path]
        for key in SPLIT_KEYS
        for path in (root / "images" / key, root / key / "images")
        if path.is_dir()
    }
    return usual or {"train": [root / "images" if (root / "images").is_dir() else root]}


def _existing(root: Path, base: Any, entry: Any) -> list[Path]:
    """Return those paths of an entry that exist. Roboflow writes ../train/images for ROOT/train/images."""
    texts = [text for text in (entry if isinstance(entry, list) else [entry]) if isinstance(text, str)]
    found = []
    for text in texts:
        inside = [part for part in PurePosixPath(text.replace("\\", "/")).parts if part not in ("..", ".", "/")]
        whole, *tails = [root / Path(*inside[first:]) for first in range(len(inside))] or [root]
        possible = (whole, root / str(base or ".") / text, root / text, *tails)
        found += [path for path in possible if is_dir(path) or is_file(path)][:1]
    return found


def _read(
    root: Path, paths_of: dict[str, list[Path]], names: dict[int, str], keypoint_numbers: int, split: str
) -> TaggedDataset:
    report = Report(root)
    images = []
    for path in paths_of[split]:
        label_path = _label_path(root, path)
        objects = tuple(_objects(label_path, names, keypoint_numbers, report)) if is_file(label_path) else ()
        images.append(WrittenImage(image_id(root, path), path, label_path, objects=objects, in_shares=True))
    named = (path for paths in paths_of.values() for path in paths)
    report_unnamed(root, named, "the image lies in none of the folders of splits", report)
    return checked_dataset(f"{root.name}/{split}", distinct_labels(names[i] for i in sorted(names)), images, report)


def _images(root: Path, places: Iterable[Path]) -> list[Path]:
    found: list[Path] = []
    for place in places:
        if place.is_dir():
            found += [place / path for path in image_paths(place)]
        else:  # a list of images, below the root or beside the list
            lines = read_lines(place)
            found += [
                next((p for p in (root / line, place.parent / line) if is_file(p)), root / line) for line in lines
            ]
    return list(dict.fromkeys(found))


def _label_path(root: Path, image: Path) -> Path:
    """Return the label file: the last folder `images` becomes `labels`."""
    relative = image.relative_to(root) if image.is_relative_to(root) else image
    parts = list(relative.with_suffix(".txt").parts)
    for place in range(len(parts) - 2, -1, -1):
        if parts[place] == "images":
            parts[place] = "labels"
            break
    return root / Path(*parts)


def _objects(path: Path, names: dict[int, str], keypoint_numbers: int, report: Report) -> Iterable[WrittenObject]:
    lines = lines_of(decoded(path.read_bytes(), "replace"))
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        field = f"line {number}"
        numbers = _numbers(line)
        thing = None if numbers is None else _object(names, numbers, keypoint_numbers, field)
        if thing is None:
            report.add(path, field, f"{line[:60]!r} is neither a box nor a polygon in YOLO format; it is left out")
            yield WrittenObject("", (field, field, field))  # something is there: the image is no negative
        else:
            yield thing


def _numbers(line: str) -> list[float] | None:
    try:
        numbers = [float(text) for text in line.split()]
    except ValueError:
        return None
    return numbers if numbers and all(map(math.isfinite, numbers)) else None


def _object(names: dict[int, str], numbers: list[float], keypoint_numbers: int, field: str) -> WrittenObject | None:
    index, *values = numbers
    if not index.is_integer():
        return None
    if keypoint_numbers and len(values) == BOX_NUMBERS + keypoint_numbers:
        values = values[:BOX_NUMBERS]
    name = names.get(int(index), f"number {index:g}")
    fields = (field, field, field)
    if len(values) in (BOX_NUMBERS, BOX_AND_SCORE_NUMBERS):
        x, y, width, height = values[:4]
        return WrittenObject(name, fields, (x - width / 2, y - height / 2, x + width / 2, y + height / 2))
    if len(values) >= MIN_POLYGON_NUMBERS and len(values) % 2 == 0:
        return WrittenObject(name, fields, polygons_box([values]), polygons=(tuple(values),))
    return None
