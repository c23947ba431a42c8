"""Small data sets on disk, made for one test each."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

WriteVoc = Callable[..., Path]


def write_image(path: Path, size_hw: tuple[int, int] = (60, 80)) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.full((*size_hw, 3), 128, np.uint8)).save(path)


def voc_xml(objects: str, width: int = 80, height: int = 60) -> str:
    return f"<annotation><size><width>{width}</width><height>{height}</height></size>{objects}</annotation>"


def voc_object(name: str, corners: Sequence[object], extra: str = "") -> str:
    tags = zip(("xmin", "ymin", "xmax", "ymax"), corners, strict=True)
    box = "".join(f"<{tag}>{value}</{tag}>" for tag, value in tags)
    return f"<object><name>{name}</name>{extra}<bndbox>{box}</bndbox></object>"


def write_coco(root: Path, split: str, class_of: dict[str, str]) -> None:
    """Add a split to a COCO data set: images of 80x60 by name, each with one object; the split's file has its classes.

    A box reaches from (10, 20) to (30, 30).
    """
    category_ids = {name: number for number, name in enumerate(dict.fromkeys(class_of.values()), start=1)}
    rows = list(enumerate(class_of.items(), start=1))
    document = {
        "images": [{"id": id_, "file_name": f"{name}.jpg", "height": 60, "width": 80} for id_, (name, _) in rows],
        "annotations": [
            {"id": id_, "image_id": id_, "category_id": category_ids[label], "bbox": [10, 20, 20, 10], "iscrowd": 0}
            for id_, (_, label) in rows
        ],
        "categories": [{"id": number, "name": name} for name, number in category_ids.items()],
    }
    for name in class_of:
        write_image(root / "images" / f"{name}.jpg")
    (root / "annotations").mkdir(exist_ok=True)
    (root / "annotations" / f"instances_{split}.json").write_text(json.dumps(document))


@pytest.fixture
def write_voc(tmp_path: Path) -> WriteVoc:
    """A VOC data set from {id: annotation text}; images are 80x60."""

    def write(annotations: dict[str, str], labels: Sequence[str] = ("Bolt", "Nut"), **splits: Sequence[str]) -> Path:
        root = tmp_path / "voc"
        (root / "Annotations").mkdir(parents=True)
        (root / "ImageSets" / "Main").mkdir(parents=True)
        (root / "labels.txt").write_text("\n".join(labels))
        for image_id, text in annotations.items():
            write_image(root / "JPEGImages" / f"{image_id}.jpg")
            (root / "Annotations" / f"{image_id}.xml").write_text(text)
        for split, ids in (splits or {"train": list(annotations)}).items():
            (root / "ImageSets" / "Main" / f"{split}.txt").write_text("\n".join(ids))
        return root

    return write
