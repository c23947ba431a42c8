"""Reader for the COCO layout: annotations/instances_SPLIT.json beside the images."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from pycocotools import mask as coco_mask

from models.labels import fold_label
from models.masks import Rle
from training.data.checks import Box, KnownLabels, Report, checked_box, read_labels_txt, usable_size_hw
from training.data.splits import val_ids
from training.data.tagged import TaggedDataset, TaggedImage, TrueObject

Json = dict[str, Any]


def is_coco(root: Path) -> bool:
    return any((root / "annotations").glob("instances_*.json"))


def read_coco(root: Path, split: str) -> TaggedDataset:
    """The images of annotations/instances_SPLIT.json; without files of their own, `val` and `fit` are cut from `train`.

    Ids are file names without suffix. Raises ValueError where the split does not exist or its file is no COCO file;
    everything wrong with single images or objects is in `problems`.
    """
    derived = not _json_path(root, split).is_file() and split in ("val", "fit")
    whole = _read_file(root, "train" if derived else split)
    if not derived or (split == "fit" and _json_path(root, "val").is_file()):
        return whole
    test = _read_file(root, "test").images if _json_path(root, "test").is_file() else ()
    held_out = val_ids({image.id: image.tags for image in whole.images}, {image.id: image.tags for image in test})
    images = tuple(image for image in whole.images if (image.id in held_out) == (split == "val"))
    return TaggedDataset(f"{root.name}/{split}", whole.labels, images, whole.problems)


def _json_path(root: Path, split: str) -> Path:
    return root / "annotations" / f"instances_{split}.json"


def _read_file(root: Path, split: str) -> TaggedDataset:
    path, report = _json_path(root, split), Report(root)
    document = _document(root, path, split)
    names = {row["id"]: str(row["name"]) for row in document["categories"]}
    labels = read_labels_txt(root) or tuple(names[number] for number in sorted(names))
    reader = _ImageReader(root, path, split, names, KnownLabels.of(labels), report)
    objects_of = _by_image(document, path, report)
    images = [
        reader.read(row, objects_of.get(row.get("id"), [])) for row in _distinct(document["images"], path, report)
    ]
    kept = tuple(image for image in images if image is not None)
    return TaggedDataset(f"{root.name}/{split}", labels, kept, tuple(report.problems))


def _document(root: Path, path: Path, split: str) -> Json:
    if not path.is_file():
        found = sorted(p.stem.removeprefix("instances_") for p in (root / "annotations").glob("instances_*.json"))
        raise ValueError(f"split: {root} has no {split!r}; it has {', '.join(found) or 'no instances_*.json'}")
    try:
        document = json.loads(path.read_bytes())
    except ValueError as error:
        raise ValueError(f"{path}: is not JSON ({error}); write it anew") from error
    for key in ("images", "annotations", "categories"):
        if not isinstance(document, dict) or not isinstance(document.get(key), list):
            raise ValueError(f"{path}: field {key!r} must be a list, as in every COCO instances file")
    _check_categories(document["categories"], path)
    checked: Json = document
    return checked


def _check_categories(rows: list[Any], path: Path) -> None:
    """Every object is of a category: with one that cannot be told from another, none of them can be used."""
    for number, row in enumerate(rows):
        if not isinstance(row, dict) or "id" not in row or not row.get("name"):
            raise ValueError(f"{path}: categories[{number}] is {row!r}: give it an id and a name")
    for what, values in (("id", [row["id"] for row in rows]), ("name", [fold_label(str(row["name"])) for row in rows])):
        twice = next((value for value, count in Counter(values).items() if count > 1), None)
        if twice is not None:
            raise ValueError(f"{path}: categories: the {what} {twice!r} stands there twice: give each its own")


def _distinct(rows: list[Json], path: Path, report: Report) -> list[Json]:
    """Rows with an id and a file name of their own."""
    seen_ids: set[object] = set()
    seen_files: set[str] = set()
    kept = []
    for number, row in enumerate(rows):
        field_name = f"images[{number}]"
        if not isinstance(row.get("file_name"), str) or "id" not in row:
            report.add(path, field_name, "has no id or no file_name; the image is left out")
        elif row["id"] in seen_ids or _image_id(row) in seen_files:
            report.add(path, f"{field_name}.id", f"id {row['id']!r} or its file stands there twice; read once")
        else:
            seen_ids.add(row["id"])
            seen_files.add(_image_id(row))
            kept.append(row)
    return kept


def _image_id(row: Json) -> str:
    """The id that answers and proposals are kept by: the file's name without suffix."""
    return PurePosixPath(row["file_name"]).with_suffix("").as_posix()


def _by_image(document: Json, path: Path, report: Report) -> dict[object, list[tuple[int, Json]]]:
    known = {row.get("id") for row in document["images"]}
    grouped: dict[object, list[tuple[int, Json]]] = {}
    for number, row in enumerate(document["annotations"]):
        if row.get("image_id") not in known:
            field_name = f"annotations[{number}].image_id"
            report.add(path, field_name, f"image {row.get('image_id')!r} is not in the file; the object is left out")
            continue
        grouped.setdefault(row["image_id"], []).append((number, row))
    return grouped


@dataclass(frozen=True)
class _ImageReader:
    root: Path
    json_path: Path
    split: str
    names: dict[int, str]
    known: KnownLabels
    report: Report

    def read(self, row: Json, written: list[tuple[int, Json]]) -> TaggedImage | None:
        path = self._image_path(row["file_name"])
        size_hw = usable_size_hw(path, self.report)
        if size_hw is None:
            return None
        if (row.get("height", size_hw[0]), row.get("width", size_hw[1])) != size_hw:
            message = (
                f"{row.get('height')}x{row.get('width')} here and {size_hw[0]}x{size_hw[1]} in the image; left out"
            )
            self.report.add(self.json_path, f"images id {row['id']}: height x width", message)
            return None
        found = [self._object(number, thing, size_hw) for number, thing in written]
        tags = {label for label, _ in found if label is not None}
        objects = tuple(thing for _, thing in found if thing is not None)
        return TaggedImage(_image_id(row), path, size_hw, tuple(sorted(tags)), objects)

    def _image_path(self, file_name: str) -> Path:
        folders = ("", "JPEGImages", "images", self.split, f"images/{self.split}")
        candidates = [self.root / folder / file_name for folder in folders]
        return next((path for path in candidates if path.is_file()), candidates[0])

    def _object(self, number: int, row: Json, size_hw: tuple[int, int]) -> tuple[str | None, TrueObject | None]:
        """The tag that the object gives its image, and the object itself where its box can be used."""
        field_name = f"annotations[{number}]"
        name = self.names.get(row.get("category_id", -1), f"category_id {row.get('category_id')}")
        label = self.known.checked(name, self.json_path, f"{field_name}.category_id", self.report)
        box = self._box(row, field_name, size_hw) if label is not None else None
        if label is None or box is None:
            return label, None
        mask = self._mask(row.get("segmentation"), field_name, size_hw)
        return label, TrueObject(label, box, mask, difficult=bool(row.get("iscrowd", 0)))

    def _box(self, row: Json, field_name: str, size_hw: tuple[int, int]) -> Box | None:
        try:
            x, y, width, height = (float(value) for value in row["bbox"])
        except (KeyError, TypeError, ValueError):
            message = f"bbox {row.get('bbox')!r} is not four numbers; the object is left out"
            self.report.add(self.json_path, f"{field_name}.bbox", message)
            return None
        box = (x, y, x + width, y + height)
        return checked_box(box, size_hw, self.json_path, f"{field_name}.bbox", self.report)

    def _mask(self, segmentation: Any, field_name: str, size_hw: tuple[int, int]) -> Rle | None:
        """Polygons, plain or compressed run lengths; an object without a segmentation has no mask."""
        if not segmentation:
            return None
        try:
            encoded = coco_mask.frPyObjects(segmentation, *size_hw) if _is_raw(segmentation) else segmentation
            rle = coco_mask.merge(encoded) if isinstance(encoded, list) else encoded
            counts = rle["counts"]
            size = [int(side) for side in rle["size"]]
        except Exception as error:  # noqa: BLE001 - pycocotools raises bare Exception for what it cannot read
            self.report.add(self.json_path, f"{field_name}.segmentation", f"cannot be read ({error}); no mask")
            return None
        if size != list(size_hw):
            self.report.add(
                self.json_path, f"{field_name}.segmentation", f"size {size} is not {list(size_hw)}; no mask"
            )
            return None
        return {"size": size, "counts": counts if isinstance(counts, str) else counts.decode("ascii")}


def _is_raw(segmentation: Any) -> bool:
    return isinstance(segmentation, list) or isinstance(segmentation.get("counts"), list)
