"""Random masks with holes, parts and one-pixel things, stored as a labelling run stores them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np

from models.masks.drawing import mask_box
from weaksam.arrays import Mask
from weaksam.formats.coco import annotation_row, category_rows, image_row, write_dataset
from weaksam.formats.run_lengths import encode_rle

SIZE_HW, SEED = (120, 160), 0
LABELS = ("thing", "bolt & nut")


def random_masks(count: int) -> list[Mask]:
    """Draw ellipses, some of them as holes, and strew one-pixel things."""
    rng = np.random.default_rng(SEED)
    masks = []
    for _ in range(count):
        canvas = np.zeros(SIZE_HW, np.uint8)
        for step in range(int(rng.integers(1, 6))):
            centre = int(rng.integers(SIZE_HW[1])), int(rng.integers(SIZE_HW[0]))
            axes = int(rng.integers(1, 40)), int(rng.integers(1, 40))
            value = int(step == 0 or rng.random() < 0.6)
            cv2.ellipse(canvas, centre, axes, float(rng.integers(180)), 0, 360, value, -1)
        canvas.ravel()[rng.integers(0, canvas.size, 3)] = 1
        masks.append(canvas.astype(np.bool_))
    return masks


def label_of(number: int) -> str:
    """Return the label of the object in image `number`, which counts from 1."""
    return LABELS[number % len(LABELS)]


def store_run(masks: Sequence[Mask], folder: Path) -> None:
    """Store the masks as a labelling run: images 1.jpg, 2.jpg, ..., one object in each."""
    images = [image_row(number, f"{number}.jpg", SIZE_HW) for number in range(1, len(masks) + 1)]
    rows = []
    for number, mask_hw in enumerate(masks, start=1):
        x0, y0, x1, y1 = map(float, mask_box(mask_hw))
        category = LABELS.index(label_of(number)) + 1
        rows.append(annotation_row(number, category, (x0, y0, x1, y1), encode_rle(mask_hw), score=0.5))
    write_dataset(folder / "dataset.json", {}, category_rows(LABELS), images, rows)
