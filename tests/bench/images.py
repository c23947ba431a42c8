"""Images for the benchmarks: scenes drawn on the fly, and a data set if there is one."""

from __future__ import annotations

import io
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

from models.masks.drawing import mask_box
from training.data.open_dataset import open_dataset
from training.scenes.scene import draw_scene

SCENE_SIZE_HW = (480, 640)
JPEG_QUALITY = 90
SEED = 20260


@dataclass(frozen=True)
class Sample:
    """An image file, the tags to send with it, and its true boxes [G,4] in pixels of the upright image."""

    data: bytes
    tags: tuple[str, ...]
    boxes_xyxy: npt.NDArray[np.float32]


def draw_scenes(count: int) -> list[Sample]:
    """Return scenes, each another image and always the same."""
    return [_draw_scene(index) for index in range(count)]


def read_images(data_dir: Path, count: int) -> list[Sample]:
    """Return images with boxes, evenly spread over the test split of a data set."""
    images = [image for image in open_dataset(data_dir, "test").images if image.objects]
    picked = np.linspace(0, len(images) - 1, min(count, len(images))).round().astype(int)
    return [
        Sample(
            images[index].path.read_bytes(),
            images[index].tags,
            np.array([thing.box_xyxy for thing in images[index].objects], np.float32),
        )
        for index in picked
    ]


def _draw_scene(index: int) -> Sample:
    sample = draw_scene(np.random.default_rng([SEED, index]), SCENE_SIZE_HW)
    buffer = io.BytesIO()
    Image.fromarray(sample.image_hwc_u8).save(buffer, "JPEG", quality=JPEG_QUALITY)
    boxes_xyxy = np.stack([mask_box(mask) for mask in sample.masks])
    return Sample(buffer.getvalue(), tuple(sorted(set(sample.labels))), boxes_xyxy)
