"""Training images: one photograph, or a mosaic of four, so that objects are learnt at two scales."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt
import torch
from torch.utils.data import Dataset

from models.image import read_image
from models.labels import LabelSet
from models.letterbox import Letterbox
from models.nets.backbone import MEAN_RGB
from training.data.image_grid import join_in_grid
from training.data.tagged import TaggedImage
from weaksam.arrays import ImageU8
from weaksam.errors import UserError

JPEG_SHARE = 0.3


@dataclass(frozen=True)
class MosaicPlan:
    """How images are drawn: `side_px` square, 2x2 with `mosaic_prob`, `batch` of one layout in a row."""

    side_px: int
    batch: int
    mosaic_prob: float
    seed: int


class TiledImages(Dataset[dict[str, torch.Tensor]]):
    """Image number i with the tags of its T tiles (1 or 4), a function of the plan and i alone."""

    def __init__(self, images: Sequence[TaggedImage], labels: LabelSet, plan: MosaicPlan, indices: range) -> None:
        self._images = images
        self._tags = np.stack([tag_vector(image.tags, labels) for image in images])
        self._plan = plan
        self._indices = indices

    def __len__(self) -> int:
        return len(self._indices)

    def __getitem__(self, item: int) -> dict[str, torch.Tensor]:
        plan, index = self._plan, self._indices[item]
        # One layout for the whole batch, so that its maps can be cut into tiles by a reshape.
        layout_rng = np.random.default_rng([plan.seed, 0, index // plan.batch])
        across = 2 if layout_rng.random() < plan.mosaic_prob else 1
        rng = np.random.default_rng([plan.seed, 1, index])
        chosen = rng.integers(len(self._images), size=across * across)
        tile_px = plan.side_px // across
        tiles = [_tile(rng, self._images[i], tile_px) for i in chosen]
        image = jitter_camera(rng, join_in_grid(tiles, across, (tile_px, tile_px)))
        return {"image": torch.from_numpy(image), "tags": torch.from_numpy(self._tags[chosen])}


def tag_vector(tags: Sequence[str], labels: LabelSet) -> npt.NDArray[np.float32]:
    """Return tags as a vector [C] of zeros and ones; raise UserError for a tag that is no label."""
    vector = np.zeros(len(labels), np.float32)
    for tag in tags:
        index = labels.index(tag)
        if index is None:
            raise UserError(f"tag {tag!r} is no label of the data set; nearest: {', '.join(labels.nearest(tag))}")
        vector[index] = 1
    return vector


def _tile(rng: np.random.Generator, image: TaggedImage, tile_px: int) -> ImageU8:
    tile = Letterbox(image.size_hw, tile_px).apply(read_image(image.path), MEAN_RGB)
    turned = np.rot90(tile, int(rng.integers(4)))
    return jitter_colours(rng, turned[:, ::-1] if rng.random() < 0.5 else turned)


def jitter_colours(rng: np.random.Generator, image_hwc_u8: ImageU8) -> ImageU8:
    """Change brightness, contrast, saturation and white balance at random."""
    image = image_hwc_u8.astype(np.float32)
    grey = image.mean(axis=2, keepdims=True)
    image = grey + (image - grey) * rng.uniform(0.5, 1.4)
    image = (image - 128) * rng.uniform(0.7, 1.3) + 128 + rng.uniform(-25, 25)
    return np.asarray(np.clip(image * rng.uniform(0.9, 1.1, 3), 0, 255), np.uint8)


def jitter_camera(rng: np.random.Generator, image_hwc_u8: ImageU8) -> ImageU8:
    """Send a share of the images through slight blur and a JPEG round trip."""
    image = np.ascontiguousarray(image_hwc_u8)
    if rng.random() < JPEG_SHARE:
        image = np.asarray(cv2.GaussianBlur(image, (0, 0), rng.uniform(0.3, 1.0)), np.uint8)
        _, encoded = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, int(rng.integers(40, 95))])
        image = np.asarray(cv2.imdecode(encoded, cv2.IMREAD_COLOR), np.uint8)
    return image
