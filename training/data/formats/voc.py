"""Reader for Pascal VOC annotations.

    ROOT/Annotations/x.xml    with ImageSets/Main/SPLIT.txt and JPEGImages/x.jpg, SegmentationObject/x.png (optional);
                              without lists all annotations are `train`, and images may lie in images/ or in ROOT;
                              x may be a path: the same folders below all of them
    ROOT/SPLIT/x.xml          beside SPLIT/x.jpg: Roboflow's export
    ROOT/x.xml                beside x.jpg: what LabelImg writes; all are `train`

Splits are the lists in ImageSets/Main, or in ImageSets if that has none; a single list of another name, such as CVAT's
`default`, is `train`. A list of another folder is named with it, such as `Segmentation/val`, VOC 2012's images with
instance masks.

Boxes. VOC's are 1-based and inclusive, so half-open x0 = xmin - 1, x1 = xmax. Some sets in this layout (FOD-A) write
0-based continuous edges instead (0.0 .. 300.0 in an image of 300 pixels), which are half-open as they stand.
Rule: if at least half of a split's boxes have a coordinate written with a decimal point, all are taken as 0-based
continuous; otherwise all are VOC's. (VOC itself has a few boxes with decimals, hence not each by itself.)
An object without a bndbox is a tag and nothing more. An annotation without objects makes its image a negative.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree as ET

import numpy as np
from PIL import Image

from training.data.checks import Report, merged_labels, read_labels_txt, read_lines
from training.data.formats.documents import DocumentError, read_xml
from training.data.locate import entries, report_unnamed
from training.data.numbers import declared_size_hw, is_set
from training.data.splits import SPLITS, read_split, split_of_name
from training.data.tagged import TaggedDataset
from training.data.written import WrittenImage, WrittenObject, checked_dataset
from weaksam.files.image_files import IMAGE_SUFFIXES
from weaksam.files.opened_image import BROKEN
from weaksam.files.path_checks import is_file
from weaksam.formats.run_lengths import encode_rle
from weaksam.mask_schemas import Rle
from weaksam.schemas import Box

WHOLE_NUMBERS = "bui"  # numpy's kinds
_CORNERS = ("xmin", "ymin", "xmax", "ymax")
_IMAGE_FOLDERS = ("JPEGImages", "images", "Images", "")
_MASK_FOLDERS = ("SegmentationClass", "SegmentationObject")
_SUFFIXES = (*IMAGE_SUFFIXES, *map(str.upper, IMAGE_SUFFIXES))
_CLASS_LIST_LINE = re.compile(r"(.+?)\s+(?:-1|0|1)")  # per-class lists of VOC have a second column


@dataclass(frozen=True)
class _Box:
    corners: Box
    has_decimals: bool


@dataclass(frozen=True)
class _Object:
    number: int  # in its file, from 1: masks go by it
    name: str
    box: _Box | None
    difficult: bool


@dataclass(frozen=True)
class _Annotation:
    path: Path
    size_hw: tuple[int, int] | None
    objects: tuple[_Object, ...]


def is_voc(root: Path) -> bool:
    return (root / "Annotations").is_dir() or bool(_beside(root))


def read_voc(root: Path, split: str) -> TaggedDataset:
    """Read the images of one split; see `read_split` for `val` and `fit`.

    Raises:
        UserError: there is no such split. What is wrong with single images is in `problems`.
    """
    return read_split(root.name, split, _split_names(root, split), lambda name: _read(root, name))


def _split_names(root: Path, wanted: str) -> list[str]:
    """Return the lists, without those of single classes (`aeroplane_train`), of which VOC has sixty."""
    if not (root / "Annotations").is_dir():
        return list(_beside(root))
    names = list(_lists(root))
    whole = {name for name in names if "_" not in name}
    lists = [name for name in names if name in whole or name.rpartition("_")[2] not in whole]
    named = [wanted] if is_file(_list_path(root, wanted)) and wanted not in lists else []
    return [*lists, *named] or ["train"]


def _beside(root: Path) -> dict[str, Path]:
    """Return the folders by split whose images have annotations beside them."""
    splits = {split_of_name(path.name): path for path in root.glob("tra*in*") if _has_xml_beside(path)}
    if splits:
        others = (path for path in sorted(root.iterdir()) if path.is_dir() and _has_xml_beside(path))
        return splits | {split_of_name(path.name): path for path in others}
    return {"train": root} if _has_xml_beside(root) else {}


def _has_xml_beside(folder: Path) -> bool:
    return any(_image_in(folder, image_id) is not None for image_id in _annotated(folder))


def _annotated(folder: Path) -> list[str]:
    """Return the ids of a folder's annotations; those in `Annotations` may lie in folders, as their images do."""
    found = folder.rglob("*.xml") if folder.name == "Annotations" else folder.glob("*.xml")
    ids = (path.relative_to(folder).as_posix().removesuffix(path.suffix) for path in found)
    return sorted(image_id for image_id in ids if not any(part.startswith(".") for part in image_id.split("/")))


def _lists(root: Path) -> dict[str, Path]:
    """Return the lists by split; a single one that is called otherwise, `default` say, is for training."""
    folder = root / "ImageSets"
    main, own = ([path for path in entries(place) if path.suffix == ".txt"] for place in (folder / "Main", folder))
    paths = main or own
    if len(paths) == 1 and paths[0].stem not in SPLITS:
        return {"train": paths[0]}
    return {path.stem: path for path in paths}


def _list_path(root: Path, split: str) -> Path:
    named = root / "ImageSets" / (f"{split}.txt" if "/" in split else f"Main/{split}.txt")
    return _lists(root).get(split, named)


def _read(root: Path, split: str) -> TaggedDataset:
    report = Report(root)
    folder = root / "Annotations" if (root / "Annotations").is_dir() else _beside(root)[split]
    ids = _ids(root, folder, split, report)
    annotations = {image_id: _read_annotation(folder / f"{image_id}.xml", report) for image_id in ids}
    read = {image_id: annotation for image_id, annotation in annotations.items() if annotation is not None}
    shift = 0.0 if _is_zero_based(read.values()) else 1.0
    images = [_written(root, folder, image_id, annotation, shift, report) for image_id, annotation in read.items()]
    if not is_file(_list_path(root, split)):
        paths = (_image_path(root, folder, image_id) for image_id in ids)
        others = (path.name for path in _beside(root).values() if path != folder)
        report_unnamed(root, paths, "the image has no annotation", report, (*_MASK_FOLDERS, *others))
    labels = read_labels_txt(root) or merged_labels(_all_names(folder))
    return checked_dataset(f"{root.name}/{split}", labels, images, report)


def _all_names(folder: Path) -> list[str]:
    """Return class names of all annotations: of one split's alone, a rare class would be unknown in another."""
    unreported = Report(folder)
    annotations = [_read_annotation(folder / f"{image_id}.xml", unreported) for image_id in _annotated(folder)]
    return [thing.name for row in annotations if row is not None for thing in row.objects if thing.name]


def _ids(root: Path, folder: Path, split: str, report: Report) -> list[str]:
    list_path = _list_path(root, split)
    if not is_file(list_path):
        return _annotated(folder)
    ids: dict[str, None] = {}
    for number, line in enumerate(read_lines(list_path), start=1):
        image_id = _id_of_line(folder, line)
        if image_id in ids:
            report.add(list_path, f"line {number}", f"id {image_id!r} stands there twice; read once")
        ids[image_id] = None
    return list(ids)


def _id_of_line(folder: Path, line: str) -> str:
    """Return the id in a line of a list; it may hold spaces, have a suffix, or be followed by a class's -1, 0, 1."""
    in_class_list = _CLASS_LIST_LINE.fullmatch(line)
    possible = [line, *([in_class_list[1]] if in_class_list else []), re.sub(r"\.\w+$", "", line)]
    annotated = (image_id for image_id in possible if is_file(folder / f"{image_id}.xml"))
    return next(annotated, in_class_list[1] if in_class_list else line)


def _read_annotation(path: Path, report: Report) -> _Annotation | None:
    if not is_file(path):
        report.add(path, "file", "the annotation is missing; the image is left out")
        return None
    try:
        root = read_xml(path)
    except DocumentError as error:
        report.add(path, "xml", f"the annotation {error}; the image is left out")
        return None
    size_hw = declared_size_hw(root.findtext("size/height"), root.findtext("size/width"))
    objects = [_read_object(path, number, node, report) for number, node in enumerate(root.iter("object"), start=1)]
    return _Annotation(path, size_hw, tuple(objects))


def _read_object(path: Path, number: int, node: ET.Element, report: Report) -> _Object:
    name = (node.findtext("name") or "").strip()
    box = None
    if node.find("bndbox") is not None:
        texts = [(node.findtext(f"bndbox/{corner}") or "").strip() for corner in _CORNERS]
        try:
            x0, y0, x1, y1 = (float(text) for text in texts)
            box = _Box((x0, y0, x1, y1), any("." in text for text in texts))
        except ValueError:
            report.add(path, f"object {number}/bndbox", f"box {texts} is not four numbers; the object is a tag alone")
    return _Object(number, name, box, is_set(node.findtext("difficult")))


def _is_zero_based(annotations: Iterable[_Annotation]) -> bool:
    boxes = [thing.box for annotation in annotations for thing in annotation.objects if thing.box is not None]
    return bool(boxes) and 2 * sum(box.has_decimals for box in boxes) >= len(boxes)


def _written(
    root: Path, folder: Path, image_id: str, annotation: _Annotation, shift: float, report: Report
) -> WrittenImage:
    masks = _instance_masks(root / "SegmentationObject" / f"{image_id}.png", report)
    objects = [
        WrittenObject(
            thing.name,
            (f"object {thing.number}/name", f"object {thing.number}/bndbox", f"object {thing.number}: mask"),
            None if thing.box is None else _half_open(thing.box.corners, shift),
            masks.get(thing.number),
            difficult=thing.difficult,
        )
        for thing in annotation.objects
    ]
    path = _image_path(root, folder, image_id)
    return WrittenImage(image_id, path, annotation.path, "size", objects=tuple(objects), size_hw=annotation.size_hw)


def _half_open(corners: Box, shift: float) -> Box:
    x0, y0, x1, y1 = corners
    return x0 - shift, y0 - shift, x1, y1


def _image_path(root: Path, folder: Path, image_id: str) -> Path:
    folders = [root / name for name in _IMAGE_FOLDERS] if folder.name == "Annotations" else [folder]
    found = (path for place in folders if (path := _image_in(place, image_id)) is not None)
    return next(found, folders[0] / f"{image_id}{IMAGE_SUFFIXES[0]}")


def _image_in(folder: Path, image_id: str) -> Path | None:
    return next((path for suffix in _SUFFIXES if is_file(path := folder / f"{image_id}{suffix}")), None)


def _instance_masks(path: Path, report: Report) -> dict[int, Rle]:
    """Return masks by the number of their object (from 1), as VOC's palette images hold them."""
    if not is_file(path):
        return {}
    try:
        with Image.open(path) as image:
            numbers = np.asarray(image)
    except BROKEN as error:
        report.add(path, "masks", f"the mask image cannot be read ({error}); its objects have no masks")
        return {}
    if numbers.ndim != 2 or numbers.dtype.kind not in WHOLE_NUMBERS:
        message = "the mask image is in colours or of fractions and not of object numbers; its objects have no masks"
        report.add(path, "masks", message)
        return {}
    return {int(n): encode_rle(numbers == n) for n in np.unique(numbers) if n not in (0, 255)}
