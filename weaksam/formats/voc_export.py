"""A labelling run in Pascal VOC's layout: boxes as XML, masks as PNG files with a palette."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path, PurePosixPath

import numpy as np
import numpy.typing as npt
from PIL import Image

from weaksam.errors import UserError
from weaksam.formats.labelled import (
    LabelledImage,
    LabelledSet,
    check_list_names,
    check_xml_names,
    one_file_for_each,
    train_and_val,
)
from weaksam.formats.provenance import MEMBER, run_provenance
from weaksam.formats.voc import VocObject, voc_palette, write_voc_annotation

MAX_INDEX = 254  # 255 is void


def write_voc(labelled: LabelledSet, out: Path) -> None:
    """Write `Annotations`, `SegmentationClass`, `SegmentationObject`, `labels.txt` and the lists of `ImageSets`.

    Boxes are rounded to whole pixels. Where masks overlap, the pixel belongs to the object with the best score.

    Raises:
        UserError: there are more than 254 labels, or as many objects in an image: a pixel has one byte. Or a name
            cannot stand in XML or in a list.
    """
    names = (*labelled.labels, *(image.file_name for image in labelled.images))
    check_xml_names(names)
    check_list_names(names)
    if len(labelled.labels) > MAX_INDEX:
        raise UserError(f"{len(labelled.labels)} labels do not fit into VOC's PNG files, which tell {MAX_INDEX} apart")
    (out / "labels.txt").write_text("".join(f"{name}\n" for name in labelled.labels), encoding="utf-8")
    numbers = {name: number for number, name in enumerate(labelled.labels, start=1)}
    for image, path in one_file_for_each(labelled, out / "Annotations", ".xml"):
        objects = [VocObject(thing.label, thing.box_xyxy) for thing in image.objects]
        segmented = any(thing.rle for thing in image.objects)
        write_voc_annotation(
            path, image.file_name, image.size_hw, objects, segmented=segmented, source=_source(labelled, image)
        )
        if segmented:
            relative = path.relative_to(out / "Annotations").with_suffix(".png")
            _write_index(out / "SegmentationClass" / relative, image, [numbers[t.label] for t in image.objects])
            _write_index(out / "SegmentationObject" / relative, image, list(range(1, len(image.objects) + 1)))
    for split, part in {**train_and_val(labelled), "trainval": labelled}.items():
        segmented_images = [image for image in part.images if any(thing.rle for thing in image.objects)]
        _write_list(out / "ImageSets" / "Main" / f"{split}.txt", part.images)
        _write_list(out / "ImageSets" / "Segmentation" / f"{split}.txt", segmented_images)


def _write_list(path: Path, images: Iterable[LabelledImage]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    ids = (PurePosixPath(image.file_name).with_suffix("") for image in images)
    path.write_text("".join(f"{image_id}\n" for image_id in ids), encoding="utf-8")


def _source(labelled: LabelledSet, image: LabelledImage) -> dict[str, str]:
    """Return VOC's three members on where an image and its annotation come from."""
    annotation = json.dumps({**run_provenance(labelled), "tags": list(image.tags)})
    return {"database": MEMBER, "annotation": annotation, "image": image.sha256 or ""}


def _write_index(path: Path, image: LabelledImage, numbers: list[int]) -> None:
    if max(numbers) > MAX_INDEX:
        raise UserError(f"{image.file_name}: {max(numbers)} objects do not fit into VOC's PNG, which tells {MAX_INDEX}")
    index: npt.NDArray[np.uint8] = np.zeros(image.size_hw, np.uint8)
    for number, thing in reversed(list(zip(numbers, image.objects, strict=True))):
        mask_hw = thing.mask()
        if mask_hw is not None:
            index[mask_hw] = number
    png = Image.fromarray(index, "P")
    png.putpalette(voc_palette().ravel().tolist())
    path.parent.mkdir(parents=True, exist_ok=True)
    png.save(path)
