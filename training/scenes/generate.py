"""Write generated scenes as one data set in VOC and COCO layout.

    OUT/JPEGImages/000000.jpg            OUT/ImageSets/Main/{train,test}.txt
    OUT/Annotations/000000.xml           OUT/SegmentationObject/000000.png  (palette: 0 ground, 1.. instances)
    OUT/annotations/instances_train.json OUT/SegmentationClass/000000.png   (palette: 0 ground, 1.. labels)
    OUT/labels.txt                       OUT/tags.csv

Boxes in the XML are 1-based and inclusive, as VOC defines them.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

from models.masks import encode_rle, mask_box
from training.data.dataset_writer import require_new_folder, write_jpeg, write_lines, write_tags_csv
from training.data.voc_writer import VocObject, voc_palette, write_voc_annotation
from training.scenes.compose import Picture
from training.scenes.scene import scene
from training.scenes.things.catalogue import TOOL_NAMES

DEFAULT_SPLITS: Mapping[str, float] = {"train": 0.8, "test": 0.2}


def generate_scenes(
    out_dir: Path,
    count: int,
    seed: int,
    size_hw: tuple[int, int],
    splits: Mapping[str, float] = DEFAULT_SPLITS,
) -> Iterator[str]:
    """Write `count` scenes and yield each one's id once its files are there, so that a caller can show progress.

    Picture i depends on (seed, i) and size_hw alone. `splits` are shares that add up to 1; the first split gets the
    first pictures. Raises ValueError where count, shares or the folder's state forbid it. Exhaust the iterator: the
    lists and the COCO files are written at its end.
    """
    _check(out_dir, count, splits)
    for folder in (
        "JPEGImages",
        "Annotations",
        "ImageSets/Main",
        "SegmentationObject",
        "SegmentationClass",
        "annotations",
    ):
        (out_dir / folder).mkdir(parents=True, exist_ok=True)
    tags: dict[str, list[str]] = {}
    for split, indices in _split_indices(count, splits).items():
        coco = _empty_coco()
        for index in indices:
            image_id = f"{index:06d}"
            picture = scene(np.random.default_rng([seed, index]), size_hw)
            _write_picture(out_dir, image_id, picture)
            _add_to_coco(coco, index, image_id, picture)
            tags[image_id] = sorted(set(picture.labels))
            yield image_id
        write_lines(out_dir / "ImageSets" / "Main" / f"{split}.txt", [f"{index:06d}" for index in indices])
        (out_dir / "annotations" / f"instances_{split}.json").write_text(json.dumps(coco), encoding="utf-8")
    write_lines(out_dir / "labels.txt", TOOL_NAMES)
    write_tags_csv(out_dir / "tags.csv", {f"JPEGImages/{image_id}.jpg": names for image_id, names in tags.items()})


def _check(out_dir: Path, count: int, splits: Mapping[str, float]) -> None:
    if count < 1:
        raise ValueError(f"count must be at least 1, got {count}")
    if abs(sum(splits.values()) - 1.0) > 1e-6:
        raise ValueError(f"splits must add up to 1, got {dict(splits)}")
    require_new_folder(out_dir)


def _split_indices(count: int, splits: Mapping[str, float]) -> dict[str, range]:
    bounds = np.round(np.cumsum([0.0, *splits.values()]) * count).astype(int)
    return {split: range(bounds[i], bounds[i + 1]) for i, split in enumerate(splits)}


def _write_picture(out_dir: Path, image_id: str, picture: Picture) -> None:
    write_jpeg(out_dir / "JPEGImages" / f"{image_id}.jpg", picture.image_hwc_u8)
    instances, classes = np.zeros((2, *picture.image_hwc_u8.shape[:2]), np.uint8)
    objects = []
    for number, (mask, label) in enumerate(zip(picture.masks, picture.labels, strict=True), start=1):
        instances[mask] = number
        classes[mask] = 1 + TOOL_NAMES.index(label)
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


def _empty_coco() -> dict[str, list[dict[str, object]]]:
    categories: list[dict[str, object]] = [
        {"id": number, "name": name, "supercategory": "debris"} for number, name in enumerate(TOOL_NAMES, start=1)
    ]
    return {"images": [], "annotations": [], "categories": categories}


def _add_to_coco(coco: dict[str, list[dict[str, object]]], index: int, image_id: str, picture: Picture) -> None:
    height, width = picture.image_hwc_u8.shape[:2]
    coco["images"].append({"id": index, "file_name": f"JPEGImages/{image_id}.jpg", "height": height, "width": width})
    for mask, label in zip(picture.masks, picture.labels, strict=True):
        x0, y0, x1, y1 = _box_of(mask)
        coco["annotations"].append(
            {
                "id": len(coco["annotations"]) + 1,
                "image_id": index,
                "category_id": 1 + TOOL_NAMES.index(label),
                "bbox": [x0, y0, x1 - x0, y1 - y0],
                "area": int(np.count_nonzero(mask)),
                "iscrowd": 0,
                "segmentation": encode_rle(mask),
            }
        )


def _box_of(mask: npt.NDArray[np.bool_]) -> tuple[float, float, float, float]:
    x0, y0, x1, y1 = (float(value) for value in mask_box(mask))
    return x0, y0, x1, y1
