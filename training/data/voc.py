"""Reader for the Pascal VOC layout: JPEGImages, Annotations, ImageSets/Main, SegmentationObject (optional).

Splits are the lists in ImageSets/Main; one of another folder is named with it, such as `Segmentation/val`, VOC 2012's
images with instance masks.

Boxes. VOC's are 1-based and inclusive, so half-open x0 = xmin - 1, x1 = xmax. Some sets in this layout (FOD-A) write
0-based continuous edges instead (0.0 .. 300.0 in an image of 300 pixels), which are half-open as they stand.
Rule: where at least half of a split's boxes have a coordinate written with a decimal point, all are taken as 0-based
continuous; otherwise all are VOC's. (VOC itself has a few boxes with decimals, hence not each by itself.)
An object without a bndbox is a tag and nothing more.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree as ET

import numpy as np
from PIL import Image

from models.masks import Rle, encode_rle
from training.data.checks import (
    Box,
    KnownLabels,
    Report,
    checked_box,
    merged_labels,
    read_labels_txt,
    read_lines,
    usable_size_hw,
)
from training.data.splits import val_ids
from training.data.tagged import TaggedDataset, TaggedImage, TrueObject
from weaksam.files.image_files import IMAGE_SUFFIXES

_CORNERS = ("xmin", "ymin", "xmax", "ymax")


@dataclass(frozen=True)
class _WrittenObject:
    number: int  # in its file, from 1: masks go by it
    name: str
    corners: Box | None
    has_decimals: bool
    difficult: bool


@dataclass(frozen=True)
class _Annotation:
    path: Path
    size_hw: tuple[int, int] | None
    objects: tuple[_WrittenObject, ...]


def is_voc(root: Path) -> bool:
    return (root / "Annotations").is_dir() and (root / "ImageSets" / "Main").is_dir()


def read_voc(root: Path, split: str) -> TaggedDataset:
    """The images listed in ImageSets/Main/SPLIT.txt; without lists of their own, `val` and `fit` are cut from `train`.

    Raises ValueError where the split does not exist; everything wrong with single images is in `problems`.
    """
    report = Report(root)
    annotations = _read_split(root, split, report)
    labels = read_labels_txt(root) or merged_labels(_all_names(root))
    reader = _ImageReader(root, KnownLabels.of(labels), _is_zero_based(list(annotations.values())), report)
    images = [reader.read(image_id, annotation) for image_id, annotation in annotations.items()]
    kept = tuple(image for image in images if image is not None)
    return TaggedDataset(f"{root.name}/{split}", labels, kept, tuple(report.problems))


def _all_names(root: Path) -> list[str]:
    """Class names of all annotations: of one split's alone, a rare class would be unknown in another."""
    unreported = Report(root)
    annotations = [_read_annotation(path, unreported) for path in sorted((root / "Annotations").glob("*.xml"))]
    return [thing.name for annotation in annotations if annotation is not None for thing in annotation.objects]


def _read_split(root: Path, split: str, report: Report) -> dict[str, _Annotation]:
    if _list_path(root, split).is_file():
        return _read_annotations(root, split, report)
    if split not in ("val", "fit") or not _list_path(root, "train").is_file():
        found = _split_names(root)
        raise ValueError(f"split: {root} has no {split!r}; it has {', '.join(found) or 'no split lists'}")
    train = _read_annotations(root, "train", report)
    if _list_path(root, "val").is_file():  # `fit` beside a validation list of the data set's own
        return train
    test = _read_annotations(root, "test", Report(root)) if _list_path(root, "test").is_file() else {}
    held_out = val_ids(_tags(train), _tags(test))
    return {image_id: row for image_id, row in train.items() if (image_id in held_out) == (split == "val")}


def _list_path(root: Path, split: str) -> Path:
    return root / "ImageSets" / (f"{split}.txt" if "/" in split else f"Main/{split}.txt")


def _split_names(root: Path) -> list[str]:
    """Lists in ImageSets/Main, without those of single classes (`aeroplane_train`), of which VOC has sixty."""
    names = sorted(path.stem for path in (root / "ImageSets" / "Main").glob("*.txt"))
    whole = {name for name in names if "_" not in name}
    return [name for name in names if name in whole or name.rpartition("_")[2] not in whole]


def _tags(annotations: dict[str, _Annotation]) -> dict[str, list[str]]:
    return {image_id: sorted({thing.name for thing in row.objects}) for image_id, row in annotations.items()}


def _read_annotations(root: Path, split: str, report: Report) -> dict[str, _Annotation]:
    annotations: dict[str, _Annotation] = {}
    list_path = _list_path(root, split)
    for number, line in enumerate(read_lines(list_path), start=1):
        image_id = line.split()[0]  # per-class lists of VOC have a second column
        if image_id in annotations:
            report.add(list_path, f"line {number}", f"id {image_id!r} stands there twice; read once")
            continue
        annotation = _read_annotation(root / "Annotations" / f"{image_id}.xml", report)
        if annotation is not None:
            annotations[image_id] = annotation
    return annotations


def _read_annotation(path: Path, report: Report) -> _Annotation | None:
    if not path.is_file():
        report.add(path, "file", "the annotation is missing; the image is left out")
        return None
    data = path.read_bytes()
    if b"<!ENTITY" in data:
        report.add(path, "xml", "the annotation declares entities, which VOC files do not; the image is left out")
        return None
    try:
        root = ET.fromstring(data)  # noqa: S314 - files that declare entities were refused above
    except ET.ParseError as error:
        report.add(path, "xml", f"the annotation is not well-formed ({error}); the image is left out")
        return None
    objects = [_read_object(path, number, node, report) for number, node in enumerate(root.iter("object"), start=1)]
    return _Annotation(path, _written_size(root), tuple(thing for thing in objects if thing is not None))


def _written_size(root: ET.Element) -> tuple[int, int] | None:
    try:
        height, width = (int(float(root.findtext(f"size/{name}", ""))) for name in ("height", "width"))
    except ValueError:
        return None
    return (height, width) if height > 0 and width > 0 else None


def _read_object(path: Path, number: int, node: ET.Element, report: Report) -> _WrittenObject | None:
    name = node.findtext("name", "").strip()
    if not name:
        report.add(path, f"object {number}/name", "there is no class name; the object is left out")
        return None
    texts = [node.findtext(f"bndbox/{corner}", "").strip() for corner in _CORNERS]
    corners: Box | None = None
    if node.find("bndbox") is not None:
        try:
            x0, y0, x1, y1 = (float(text) for text in texts)
            corners = (x0, y0, x1, y1)
        except ValueError:
            report.add(path, f"object {number}/bndbox", f"box {texts} is not four numbers; the object is left out")
    difficult = node.findtext("difficult", "0").strip() == "1"
    return _WrittenObject(number, name, corners, any("." in text for text in texts), difficult)


def _is_zero_based(annotations: Sequence[_Annotation]) -> bool:
    boxed = [thing for annotation in annotations for thing in annotation.objects if thing.corners is not None]
    return bool(boxed) and 2 * sum(thing.has_decimals for thing in boxed) >= len(boxed)


@dataclass(frozen=True)
class _ImageReader:
    root: Path
    known: KnownLabels
    zero_based: bool
    report: Report

    def read(self, image_id: str, annotation: _Annotation) -> TaggedImage | None:
        path = _image_path(self.root, image_id)
        size_hw = usable_size_hw(path, self.report)
        if size_hw is None:
            return None
        if annotation.size_hw not in (None, size_hw):
            message = f"size (height, width) is {annotation.size_hw} here and {size_hw} in the image; left out"
            self.report.add(annotation.path, "size", message)
            return None
        masks = _instance_masks(self.root / "SegmentationObject" / f"{image_id}.png", size_hw, self.report)
        tags, objects = [], []
        for thing in annotation.objects:
            label = self.known.checked(thing.name, annotation.path, f"object {thing.number}/name", self.report)
            if label is None:
                continue
            tags.append(label)
            box = self._box(thing, annotation, size_hw)
            if box is not None:
                objects.append(TrueObject(label, box, masks.get(thing.number), thing.difficult))
        return TaggedImage(image_id, path, size_hw, tuple(sorted(set(tags))), tuple(objects))

    def _box(self, thing: _WrittenObject, annotation: _Annotation, size_hw: tuple[int, int]) -> Box | None:
        if thing.corners is None:
            return None
        x0, y0, x1, y1 = thing.corners
        shift = 0.0 if self.zero_based else 1.0
        box = (x0 - shift, y0 - shift, x1, y1)
        return checked_box(box, size_hw, annotation.path, f"object {thing.number}/bndbox", self.report)


def _image_path(root: Path, image_id: str) -> Path:
    suffixes = [*IMAGE_SUFFIXES, *map(str.upper, IMAGE_SUFFIXES)]
    candidates = [root / "JPEGImages" / f"{image_id}{suffix}" for suffix in suffixes]
    return next((path for path in candidates if path.is_file()), candidates[0])


def _instance_masks(path: Path, size_hw: tuple[int, int], report: Report) -> dict[int, Rle]:
    """Masks by the number of their object (from 1), as VOC's palette images hold them; empty without such a file."""
    if not path.is_file():
        return {}
    try:
        with Image.open(path) as image:
            numbers = np.asarray(image)
    except (OSError, SyntaxError, ValueError) as error:
        report.add(path, "masks", f"the mask image cannot be read ({error}); its objects have no masks")
        return {}
    if numbers.shape != size_hw:
        report.add(path, "masks", f"the mask image is {numbers.shape}, the image {size_hw}; its objects have no masks")
        return {}
    return {int(n): encode_rle(numbers == n) for n in np.unique(numbers) if n not in (0, 255)}
