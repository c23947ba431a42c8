"""Reader for COCO files.

ROOT/annotations/instances_SPLIT.json       COCO's own layout; images in ROOT, images/, JPEGImages/ or SPLIT/
ROOT/SPLIT/_annotations.coco.json           Roboflow's export, images beside the file
ROOT/any.json, ROOT/annotations/any.json    named after a split, or one for all images, which is `train`
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from training.data.checks import Report, read_labels_txt
from training.data.formats.coco_rows import Json, distinct_rows, id_text, image_id_of, parsed_text, size_hw_of
from training.data.formats.documents import DocumentError, documents, read_json
from training.data.locate import locate, report_unnamed
from training.data.numbers import is_set, written_number
from training.data.polygons import MaskError, polygon_numbers, polygons_box, run_lengths_rle, shown_value
from training.data.splits import SPLITS, read_split, split_of_name
from training.data.tagged import TaggedDataset
from training.data.written import WrittenImage, WrittenObject, checked_dataset
from weaksam.errors import UserError
from weaksam.formats.run_lengths import rle_box
from weaksam.mask_schemas import Rle
from weaksam.schemas import Box
from weaksam.tag_texts import fold_label

ROBOFLOW = "_annotations.coco.json"
LISTS = ("images", "annotations", "categories")


@dataclass(frozen=True)
class _CocoFile:
    """A file, the folders below the root that its images may lie in, and those that other files speak for.

    None for the latter: the files of other splits may be anywhere.
    """

    path: Path
    folders: tuple[str, ...]
    others: tuple[str, ...] | None


def is_coco(root: Path) -> bool:
    return bool(_coco_files(root))


def read_coco(root: Path, split: str) -> TaggedDataset:
    """Read the images of one split; see `read_split` for `val` and `fit`.

    Ids are file names without suffix. An image without annotations is a negative, unless
    `weaksam review` wrote its tags.

    Raises:
        UserError: there is no such split, or its file is no COCO file. What is wrong with single images or objects is
            in `problems`.
    """
    files = _coco_files(root)
    return read_split(root.name, split, files, lambda name: _read_file(root, files[name], name))


def _coco_files(root: Path) -> dict[str, _CocoFile]:
    """Return the files by split."""
    own = sorted(root.glob("annotations/instances_*.json"))
    if own:
        named = {path.stem.removeprefix("instances_"): path for path in own}
        return {name: _CocoFile(path, _folders(name), None) for name, path in _with_train(named).items()}
    beside = sorted(root.glob(f"*/{ROBOFLOW}"))
    if beside:
        folders = [path.parent.name for path in beside]
        others = {folder: tuple(name for name in folders if name != folder) for folder in folders}
        return {
            split_of_name(folder): _CocoFile(path, (folder,), others[folder])
            for folder, path in zip(folders, beside, strict=True)
        }
    other = [path for folder in (root, root / "annotations") for path, found in documents(folder) if _is_coco(found)]
    splits = Counter(_split_in(path.stem) for path in other)
    for split in (split for split in splits if splits[split] > 1):
        double = " and ".join(path.relative_to(root).as_posix() for path in other if _split_in(path.stem) == split)
        raise UserError(f"data: {root} has several COCO files of the split {split}, {double}: join them, or move one")
    by_split = _with_train({_split_in(path.stem): path for path in other})
    return {
        name: _CocoFile(path, _folders(name), () if len(by_split) == 1 else None) for name, path in by_split.items()
    }


def _with_train(files: dict[str, Path]) -> dict[str, Path]:
    """Return the files by split; a single one that is called otherwise, `default` say, is for training."""
    if len(files) == 1 and not SPLITS & files.keys():
        return {"train": next(iter(files.values()))}
    return files


def _split_in(stem: str) -> str:
    """Return the split that a file is named after: `val` of `my_valid_2017`."""
    words = [split_of_name(word) for word in re.split(r"[^a-z]+", stem.lower())]
    return next((word for word in words if word in SPLITS), stem)


def _is_coco(document: Any) -> bool:
    return isinstance(document, dict) and all(isinstance(document.get(name), list) for name in LISTS)


def _folders(split: str) -> tuple[str, ...]:
    return ("", "JPEGImages", "images", split, f"images/{split}")


def _read_file(root: Path, file: _CocoFile, split: str) -> TaggedDataset:
    report = Report(root)
    document = _document(file.path)
    names = _category_names(document)
    objects_of = _objects_by_image(document, names, file.path, report)
    rows, ids_of = distinct_rows(document["images"], file.path, report)
    paths = locate(root, [row["file_name"] for row in rows], file.folders, file.path, report)
    images = [
        _written_image(row, paths[row["file_name"]], file.path, _objects_of_ids(objects_of, ids_of[row["file_name"]]))
        for row in rows
        if row["file_name"] in paths
    ]
    if file.others is not None:
        report_unnamed(root, paths.values(), f"{file.path.name} does not name the image", report, file.others)
    labels = read_labels_txt(root) or tuple(names.values())
    return checked_dataset(f"{root.name}/{split}", labels, images, report)


def _document(path: Path) -> Json:
    try:
        document = read_json(path)
    except DocumentError as error:
        raise UserError(f"{path}: {error}; write it anew") from error
    for key in LISTS:
        if not isinstance(document, dict) or not isinstance(document.get(key), list):
            raise UserError(f"{path}: field {key!r} must be a list, as in every COCO instances file")
    _check_categories(document["categories"], path)
    checked: Json = document
    return checked


def _check_categories(rows: list[Any], path: Path) -> None:
    """Raise UserError unless each category has an id and a name, and shares neither with another.

    A single faulty category makes all of them useless: which one an object is of would be a guess.
    """
    for number, row in enumerate(rows):
        if not isinstance(row, dict) or id_text(row.get("id")) is None or not id_text(row.get("name")):
            raise UserError(f"{path}: categories[{number}] is {row!r}: give it an id and a name")
    ids, names = (
        Counter(id_text(row["id"]) for row in rows),
        Counter(fold_label(str(id_text(row["name"]))) for row in rows),
    )
    for what in [*(f"id {value}" for value in ids if ids[value] > 1), *(f"name {v!r}" for v in names if names[v] > 1)]:
        raise UserError(f"{path}: categories: the {what} stands there twice: give each its own")


def _category_names(document: Json) -> dict[str, str]:
    """Return names by id, in the order of the ids.

    Roboflow adds a category for its supercategory, which no object is of: it is no class.
    """
    rows = document["categories"]
    used = {id_text(row.get("category_id")) for row in document["annotations"] if isinstance(row, dict)}
    above = {str(row.get("supercategory")) for row in rows if row.get("supercategory") != row["name"]}
    named = {str(id_text(row["id"])): str(id_text(row["name"])) for row in rows}
    classes = {key: name for key, name in named.items() if key in used or name not in above}
    return dict(sorted(classes.items(), key=lambda item: _order(item[0])))


def _order(key: str) -> tuple[bool, int, str]:
    """Return by what ids are sorted: numbers by their value, then texts."""
    digits = key.lstrip("0")
    return (False, len(digits), digits) if key.isdecimal() else (True, 0, key)


def _objects_of_ids(
    objects_of: dict[str | None, list[WrittenObject]], ids: list[str | None]
) -> tuple[WrittenObject, ...]:
    return tuple(thing for key in dict.fromkeys(ids) for thing in objects_of.get(key, ()))


def _objects_by_image(
    document: Json, names: dict[str, str], path: Path, report: Report
) -> dict[str | None, list[WrittenObject]]:
    known = {id_text(row.get("id")) for row in document["images"] if isinstance(row, dict)}
    grouped: dict[str | None, list[WrittenObject]] = {}
    for number, row in enumerate(document["annotations"]):
        field = f"annotations[{number}]"
        if not isinstance(row, dict):
            report.add(path, field, f"is {row!r}, not an object; it is left out")
        elif id_text(row.get("image_id")) is None or id_text(row["image_id"]) not in known:
            message = f"image {row.get('image_id')!r} is not in the file; the object is left out"
            report.add(path, f"{field}.image_id", message)
        else:
            name = names.get(str(id_text(row.get("category_id"))), f"category_id {row.get('category_id')!r}")
            grouped.setdefault(id_text(row["image_id"]), []).append(_written_object(row, name, field, path, report))
    return grouped


def _written_object(row: Json, name: str, field: str, path: Path, report: Report) -> WrittenObject:
    fields = (f"{field}.category_id", f"{field}.bbox", f"{field}.segmentation")
    annotation = f"annotation id {row.get('id')!r}"
    box = _box(parsed_text(row.get("bbox")))
    if box is None and row.get("bbox") is not None:
        message = f"{annotation}: bbox {shown_value(row['bbox'])} is not four numbers: write [x, y, width, height]"
        report.add(path, fields[1], f"{message}; the object is a tag alone")
    try:
        rle, polygons = _mask(parsed_text(row.get("segmentation")))
    except MaskError as error:
        rle, polygons = None, ()
        report.add(path, fields[2], f"{annotation}: {error}; no mask")
    if row.get("bbox") is None:
        box = _box_of_mask(rle, polygons)
    return WrittenObject(name, fields, box, rle, polygons, difficult=is_set(row.get("iscrowd")))


def _box(bbox: Any) -> Box | None:
    try:
        x, y, width, height = map(written_number, bbox)
    except (TypeError, ValueError, OverflowError):
        return None
    return x, y, x + width, y + height


def _box_of_mask(rle: Rle | None, polygons: Sequence[Sequence[float]]) -> Box | None:
    """Return the box around a mask, for an object that has no box of its own."""
    if rle is not None:
        return rle_box(rle)
    return polygons_box(polygons) if any(len(polygon) > 1 for polygon in polygons) else None


def _mask(segmentation: Any) -> tuple[Rle | None, tuple[list[float], ...]]:
    """Return run lengths or polygons; an object without a segmentation has neither."""
    if not segmentation:
        return None, ()
    if isinstance(segmentation, dict):
        return run_lengths_rle(segmentation.get("counts"), segmentation.get("size")), ()
    if isinstance(segmentation, list) and all(isinstance(polygon, list) for polygon in segmentation):
        return None, tuple(polygon_numbers(polygon) for polygon in segmentation if polygon)
    raise MaskError(
        f"segmentation {shown_value(segmentation)} is neither polygons nor run lengths: write [[x, y, x, y, ...]]"
    )


def _written_image(row: Json, path: Path, source: Path, objects: tuple[WrittenObject, ...]) -> WrittenImage:
    confirmed = row.get("confirmed") if isinstance(row.get("confirmed"), bool) else None
    return WrittenImage(
        image_id_of(row),
        path,
        source,
        f"images id {row['id']}",
        # Other tools write tags of another kind, so only those that `weaksam review` wrote count.
        tags=_tags(row.get("tags")) if confirmed is False else (),
        objects=objects,
        confirmed=confirmed,
        size_hw=size_hw_of(row),
    )


def _tags(value: Any) -> tuple[str, ...]:
    """Return tags as texts; what is none becomes a tag that nothing knows, so that it is reported."""
    values = value if isinstance(value, list) else [] if value is None else [value]
    return tuple(map(str, values))
