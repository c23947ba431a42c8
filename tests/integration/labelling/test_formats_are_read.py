"""What `weaksam convert` writes is data to train on: our own readers take it, with the images put in their place."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from models.masks.drawing import mask_box
from tests.unit.training.data.conftest import write_image
from training.data.open_dataset import open_dataset
from training.data.tagged import TaggedDataset, TaggedImage
from training.scenes.generate import generate_scenes
from weaksam.formats.coco import annotation_row, category_rows, image_row, write_dataset
from weaksam.formats.convert import FormatName, convert
from weaksam.formats.polygons import mask_iou
from weaksam.formats.run_lengths import decode_rle


@pytest.fixture(scope="module")
def scenes(tmp_path_factory: pytest.TempPathFactory) -> TaggedDataset:
    """Four generated scenes with their true masks."""
    folder = tmp_path_factory.mktemp("scenes") / "scenes"
    list(generate_scenes(folder, 4, 3, (96, 128), {"train": 1.0}))
    return open_dataset(folder, "train")


@pytest.fixture(scope="module")
def run(scenes: TaggedDataset, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The scenes' objects, stored as a labelling run stores what it found."""
    folder = tmp_path_factory.mktemp("labelled")
    rows = []
    for number, image in enumerate(scenes.images, start=1):
        for thing in image.objects:
            assert thing.mask_rle is not None
            x0, y0, x1, y1 = map(float, mask_box(decode_rle(thing.mask_rle)))
            category = scenes.labels.index(thing.label) + 1
            rows.append(annotation_row(number, category, (x0, y0, x1, y1), thing.mask_rle, score=0.5))
    images = [image_row(number, image.path.name, image.size_hw) for number, image in enumerate(scenes.images, start=1)]
    write_dataset(folder / "dataset.json", {}, category_rows(scenes.labels), images, rows)
    return folder


def read_whole(folder: Path, to: FormatName) -> list[TaggedImage]:
    """Return the images of all splits, in which nothing is wrong."""
    splits = {"yolo": ("train", "val"), "yolo-seg": ("train", "val"), "voc": ("trainval",)}
    read = [open_dataset(folder, split) for split in splits.get(to, ("train",))]
    assert [dataset.problems for dataset in read] == [()] * len(read)
    return [image for dataset in read for image in dataset.images]


@pytest.mark.parametrize("to", ["coco", "coco-polygons", "yolo", "yolo-seg", "voc", "cvat", "labelme"])
def test_tags_and_boxes_are_read(scenes: TaggedDataset, run: Path, tmp_path: Path, to: FormatName) -> None:
    out = tmp_path / "out"
    convert(run, to, out, 1.0)
    place = out if to == "labelme" else out / "images"
    place.mkdir(exist_ok=True)
    for image in scenes.images:
        shutil.copy(image.path, place)

    images = read_whole(out, to)

    for image, known in zip(images, scenes.images, strict=True):
        assert set(image.tags) == set(known.tags)
        objects = image.objects[::-1] if to == "cvat" else image.objects  # CVAT draws the last one on top
        assert len(objects) == len(known.objects)
        for thing, known_thing in zip(objects, known.objects, strict=True):
            assert known_thing.mask_rle is not None
            box = mask_box(decode_rle(known_thing.mask_rle))
            assert thing.label == known_thing.label
            assert thing.box_xyxy == pytest.approx(box, abs=1e-3)
            if to.startswith(("coco", "cvat", "labelme")):
                assert thing.mask_rle is not None
                assert mask_iou(decode_rle(thing.mask_rle), decode_rle(known_thing.mask_rle)) == 1.0


@pytest.mark.parametrize("to", ["coco", "coco-polygons", "yolo", "yolo-seg", "voc", "cvat"])
def test_folders_and_odd_names_are_read(tmp_path: Path, to: FormatName) -> None:
    label, files = 'Käse 🔧 𠮷, "x": #1', ("a.jpg", "day 1/ü%20, (1).v2.png", "x\u2028y\x85z.jpg")
    objects = [annotation_row(number, 1, (10.0, 20.0, 30.0, 50.0), score=0.5) for number in (1, 2, 3)]
    rows = [image_row(number, name, (60, 80)) for number, name in enumerate(files, start=1)]
    (tmp_path / "run").mkdir()
    write_dataset(tmp_path / "run" / "dataset.json", {}, category_rows((label,)), rows, objects)
    out = tmp_path / "out"
    convert(tmp_path / "run", to, out)
    for name in files:
        write_image(out / "images" / name)

    images = read_whole(out, to)

    assert {image.path.relative_to(out / "images").as_posix() for image in images} == set(files)
    assert [image.tags for image in images] == [(label,)] * len(files)
