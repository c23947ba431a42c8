"""Tagged pictures of coloured patches with exact boxes and masks, and trainings on them that take seconds."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from models.config import load_config
from tests.support.bundles.tiny_bundle import LABELS, picture
from training.data.tagged import TaggedImage, TrueObject
from training.detector.config import DetectorConfig
from training.detector.train import train_detector
from training.pseudo_labels.dataset import PseudoLabelledImage, PseudoObject, write_pseudo_dataset
from training.pseudo_labels.masks import PseudoMask
from weaksam.formats.run_lengths import encode_rle

CONFIG = Path(__file__).resolve().parents[3] / "training" / "configs" / "stages" / "segmenter.toml"
SIDE_PX = 64
COLOURS = ((230, 0, 0), (0, 230, 0), (0, 0, 230))
TINY = [
    "net.backbone=mobilenetv2_050",
    "rcnn.channels=24",
    "rcnn.hidden=48",
    "rcnn.anchor_sides_px=[[12],[20],[32]]",
    "rcnn.roi_scale_px=48",
    "rcnn.mask_channels=16",
    "rcnn.mask_layers=1",
    "rcnn.rois=32",
    "rcnn.proposals=30",
    "backbone_weights=none",
    "backbone_lr_scale=1.0",
    f"side_px={SIDE_PX}",
    "train_sides_px=[64]",
    "test_sides_px=[64, 96]",
    "mosaic_prob=0.0",
    "batch=4",
    "lr=3e-3",
    "warmup_steps=5",
    "precision=32-true",
    "loader_workers=0",
]


def make_patches(folder: Path, count: int) -> list[TaggedImage]:
    """Pictures of one or two patches, each of another colour; tags are the colours' labels."""
    folder.mkdir()
    return [_make_picture(folder / f"{i:02d}.png", np.random.default_rng(i)) for i in range(count)]


def write_pseudo_labels(images: list[TaggedImage], folder: Path) -> Path:
    """The true boxes and masks as pseudo ground truth."""
    pictures = [
        PseudoLabelledImage(image, tuple(_pseudo(thing) for thing in image.objects if thing.mask_rle is not None))
        for image in images
    ]
    return write_pseudo_dataset(pictures, LABELS, range(1, len(LABELS) + 1), folder, "link")


def run_detector(images: list[TaggedImage], annotations_json: Path | None, out: Path, *overrides: str) -> Path:
    config = load_config(DetectorConfig, CONFIG, [*TINY, *overrides])
    return train_detector(config, images, LABELS, [annotations_json] if annotations_json else (), out)


def _make_picture(path: Path, rng: np.random.Generator) -> TaggedImage:
    objects, patches = [], []
    for half, label in enumerate(rng.permutation(3)[: rng.integers(1, 3)]):
        width, height = (int(side) for side in rng.integers(12, 29, 2))
        x, y = 32 * half + int(rng.integers(0, 33 - width)), int(rng.integers(0, SIDE_PX - height))
        box = (x, y, x + width, y + height)
        patches.append((box, COLOURS[label]))
        mask = np.zeros((SIDE_PX, SIDE_PX), np.bool_)
        mask[y : y + height, x : x + width] = True
        objects.append(TrueObject(LABELS.names[label], (x, y, x + width, y + height), encode_rle(mask)))
    Image.fromarray(picture(*patches, size_hw=(SIDE_PX, SIDE_PX))).save(path)
    tags = tuple(sorted({thing.label for thing in objects}))
    return TaggedImage(path.stem, path, (SIDE_PX, SIDE_PX), tags, tuple(objects))


def _pseudo(thing: TrueObject) -> PseudoObject:
    label = LABELS.index(thing.label)
    assert label is not None
    assert thing.mask_rle is not None
    return PseudoObject(label, thing.box_xyxy, 1.0, PseudoMask(thing.mask_rle, 1.0))
