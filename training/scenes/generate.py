"""Generated scenes as one data set in VOC and COCO layout.

    OUT/JPEGImages/000000.jpg            OUT/ImageSets/Main/{train,test}.txt
    OUT/Annotations/000000.xml           OUT/SegmentationObject/000000.png  (palette: 0 background, 1.. instances)
    OUT/annotations/instances_train.json OUT/SegmentationClass/000000.png   (palette: 0 background, 1.. labels)
    OUT/labels.txt                       OUT/tags.csv

Boxes in the XML are 1-based and inclusive, as VOC defines them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

from models.masks.drawing import mask_box
from training.data.dataset_writer import require_new_folder, write_jpeg, write_lines, write_tags_csv
from training.scenes.objects.catalogue import CATEGORY_NAMES
from training.scenes.paste_objects import SceneImage
from training.scenes.scene import draw_scene
from weaksam.errors import UserError
from weaksam.formats.coco import Row, annotation_row, category_rows, image_row, write_dataset
from weaksam.formats.run_lengths import encode_rle
from weaksam.formats.voc import VocObject, voc_palette, write_voc_annotation
from weaksam.schemas import Box

FOLDERS = ("JPEGImages", "Annotations", "ImageSets/Main", "SegmentationObject", "SegmentationClass", "annotations")
DEFAULT_SPLITS: Mapping[str, float] = {"train": 0.8, "test": 0.2}


def generate_scenes(
    out_dir: Path,
    count: int,
    seed: int,
    size_hw: tuple[int, int],
    splits: Mapping[str, float] = DEFAULT_SPLITS,
) -> Iterator[str]:
    """Write `count` scenes and yield the id of each one when its files are complete, to show progress.

    Image i depends on (seed, i) and `size_hw` alone. Exhaust the iterator: lists and COCO files are written at its end.

    Args:
        out_dir: new or empty folder.
        count: number of scenes.
        seed: of all scenes.
        size_hw: of each image, in pixels.
        splits: shares that add up to 1; the first split gets the first images.

    Raises:
        UserError: count, shares or the folder's state forbid it.
    """
    _check(out_dir, count, splits)
    for folder in FOLDERS:
        (out_dir / folder).mkdir(parents=True, exist_ok=True)
    tags: dict[str, list[str]] = {}
    for split, indices in _split_indices(count, splits).items():
        images: list[Row] = []
        annotations: list[Row] = []
        for index in indices:
            image_id = f"{index:06d}"
            image = draw_scene(np.random.default_rng([seed, index]), size_hw)
            _write_image(out_dir, image_id, image)
            images.append(image_row(index, f"JPEGImages/{image_id}.jpg", size_hw))
            annotations.extend(_annotations(index, image))
            tags[image_id] = sorted(set(image.labels))
            yield image_id
        write_lines(out_dir / "ImageSets" / "Main" / f"{split}.txt", [f"{index:06d}" for index in indices])
        path = out_dir / "annotations" / f"instances_{split}.json"
        write_dataset(path, {"description": "generated scenes"}, category_rows(CATEGORY_NAMES), images, annotations)
    write_lines(out_dir / "labels.txt", CATEGORY_NAMES)
    write_tags_csv(out_dir / "tags.csv", {f"JPEGImages/{image_id}.jpg": names for image_id, names in tags.items()})


def _check(out_dir: Path, count: int, splits: Mapping[str, float]) -> None:
    if count < 1:
        raise UserError(f"count must be at least 1, got {count}")
    if abs(sum(splits.values()) - 1.0) > 1e-6:
        raise UserError(f"splits must add up to 1, got {dict(splits)}")
    require_new_folder(out_dir)


def _split_indices(count: int, splits: Mapping[str, float]) -> dict[str, range]:
    bounds = np.round(np.cumsum([0.0, *splits.values()]) * count).astype(int)
    return {split: range(bounds[i], bounds[i + 1]) for i, split in enumerate(splits)}


def _write_image(out_dir: Path, image_id: str, image: SceneImage) -> None:
    write_jpeg(out_dir / "JPEGImages" / f"{image_id}.jpg", image.image_hwc_u8)
    instances, classes = np.zeros((2, *image.image_hwc_u8.shape[:2]), np.uint8)
    objects = []
    for number, (mask, label) in enumerate(zip(image.masks, image.labels, strict=True), start=1):
        instances[mask] = number
        classes[mask] = 1 + CATEGORY_NAMES.index(label)
        objects.append(VocObject(label, _box_of(mask)))
    _write_palette_png(out_dir / "SegmentationObject" / f"{image_id}.png", instances)
    _write_palette_png(out_dir / "SegmentationClass" / f"{image_id}.png", classes)
    height, width = instances.shape
    write_voc_annotation(
        out_dir / "Annotations" / f"{image_id}.xml", f"{image_id}.jpg", (height, width), objects, segmented=True
    )


def _write_palette_png(path: Path, values: npt.NDArray[np.uint8]) -> None:
    image = Image.fromarray(values, mode="P")
    image.putpalette(voc_palette().flatten().tolist())
    image.save(path)


def _annotations(image_id: int, image: SceneImage) -> Iterator[Row]:
    for mask, label in zip(image.masks, image.labels, strict=True):
        yield annotation_row(image_id, 1 + CATEGORY_NAMES.index(label), _box_of(mask), encode_rle(mask))


def _box_of(mask: npt.NDArray[np.bool_]) -> Box:
    x0, y0, x1, y1 = (float(value) for value in mask_box(mask))
    return x0, y0, x1, y1
