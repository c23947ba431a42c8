"""What the detector learns from: labelled images, alone or as 2x2 mosaics, flipped and scaled at random."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch.utils.data import Dataset

from models.image import read_image
from models.labels import LabelSet
from models.letterbox import Letterbox
from models.nets.backbone import MEAN_RGB
from models.nets.detectors.targets import Target
from training.data.formats.coco import read_coco
from training.data.image_grid import cell_offsets_xy, join_in_grid
from training.data.tagged import TaggedImage, TrueObject
from training.data.tiles import jitter_camera, jitter_colours
from weaksam.arrays import Float32, ImageU8
from weaksam.errors import UserError
from weaksam.formats.run_lengths import decode_rle

# In the square: a narrower object is not learnt from.
MIN_LEARNT_SIDE_PX = 2.0


@dataclass(frozen=True)
class DetectorExample:
    """An image with the objects to learn from, pseudo or true; ``image.objects`` are the true ones, if known."""

    image: TaggedImage
    objects: tuple[TrueObject, ...]


@dataclass(frozen=True)
class Scene:
    """One training image and its objects, in its pixels.

    Attributes:
        image_hwc_u8: [S,S,3].
        target: what to learn.
        true_boxes, true_labels: [M,4] and [M] from 1, for the log alone; empty if they are not known.
    """

    image_hwc_u8: torch.Tensor
    target: Target
    true_boxes: torch.Tensor
    true_labels: torch.Tensor


@dataclass(frozen=True)
class ScenePlan:
    """How training images are drawn.

    Attributes:
        sides_px: each batch takes one of them; multiples of 32.
        mosaic_prob: share of the batches of 2x2 mosaics, so that objects are learnt at two scales.
        batch: so many images in a row have one side and layout.
        masks: draw masks too.
        seed: image i is a function of the plan and i alone.
    """

    sides_px: tuple[int, ...]
    mosaic_prob: float
    batch: int
    masks: bool
    seed: int


def labelled_images(
    images: Sequence[TaggedImage], annotation_files: Sequence[Path], masks: bool, *, true_objects: bool = False
) -> list[DetectorExample]:
    """Return the images that have objects to learn from; difficult objects are left out.

    Args:
        images: all images, with their true objects if known.
        annotation_files: COCO files ``FOLDER/annotations/instances_SPLIT.json``, whose images are found among
            ``images`` by file or by id. Without any, all images are taken with their own true objects.
        masks: every object must have one.
        true_objects: take the images that the files name, with their own true objects.

    Raises:
        UserError: a file has another name, has none of ``images``, or lacks masks.
    """
    found = [row for path in annotation_files for row in _paired(images, path)]
    if not annotation_files:
        found = [DetectorExample(image, image.objects) for image in images]
    if true_objects:
        found = [DetectorExample(row.image, row.image.objects) for row in found]
    usable = [DetectorExample(row.image, tuple(o for o in row.objects if not o.difficult)) for row in found]
    usable = [row for row in usable if row.objects]
    source = ", ".join(map(str, annotation_files)) or "data"
    if not usable:
        raise UserError(f"{source}: none of the {len(images)} images has an object to learn from")
    if masks:
        _require_masks(usable, source)
    return usable


def _require_masks(rows: Sequence[DetectorExample], source: str) -> None:
    bare = next((row.image.id for row in rows if any(o.mask_rle is None for o in row.objects)), None)
    if bare is not None:
        raise UserError(f"{source}: an object of image {bare!r} has no mask: make them, or set net.mask_channels=0")


def _paired(images: Sequence[TaggedImage], annotations_json: Path) -> Iterator[DetectorExample]:
    split = annotations_json.stem.removeprefix("instances_")
    if annotations_json.parent.name != "annotations" or annotations_json.stem == split:
        raise UserError(f"{annotations_json}: give a file FOLDER/annotations/instances_SPLIT.json")
    labelled = read_coco(annotations_json.parent.parent, split).images
    of_file = {image.path.resolve(): image for image in labelled}
    of_id = {image.id: image for image in labelled}
    uses = Counter(image.id for image in images)
    for image in images:
        # Copied images have other files; an id that several data sets share says nothing.
        fallback = of_id.get(image.id) if uses[image.id] == 1 else None
        match = of_file.get(image.path.resolve(), fallback)
        if match is not None:
            yield DetectorExample(image, match.objects)


class LabelledScenes(Dataset[Scene]):
    """Training image number i, of 1 or 4 labelled images: a function of the plan and i alone."""

    def __init__(
        self, rows: Sequence[DetectorExample], labels: LabelSet, plan: ScenePlan, indices: Sequence[int]
    ) -> None:
        self._rows = rows
        self._labels = labels
        self._plan = plan
        self._indices = indices

    def __len__(self) -> int:
        return len(self._indices)

    def __getitem__(self, item: int) -> Scene:
        plan, index = self._plan, self._indices[item]
        # One side and layout for the whole batch, so that its images can be stacked.
        layout_rng = np.random.default_rng([plan.seed, 0, index // plan.batch])
        side_px = int(layout_rng.choice(plan.sides_px))
        across = 2 if layout_rng.random() < plan.mosaic_prob else 1
        rng = np.random.default_rng([plan.seed, 1, index])
        tiles = []
        for _ in range(across * across):
            row = self._rows[int(rng.integers(len(self._rows)))]
            tiles.append(_Tile(row, self._labels, side_px // across, plan.masks, rng))
        return _Mosaic(tiles, across).scene(rng)


class _Tile:
    """An image fitted into a square, flipped and recoloured at random, and its objects in the square's pixels."""

    def __init__(
        self, row: DetectorExample, labels: LabelSet, side_px: int, masks: bool, rng: np.random.Generator
    ) -> None:
        self.side_px = side_px
        self._letterbox = Letterbox(row.image.size_hw, side_px)
        self._flipped = rng.random() < 0.5
        fitted = jitter_colours(rng, self._letterbox.apply(read_image(row.image.path), MEAN_RGB))
        self.image_hwc_u8 = fitted[:, ::-1] if self._flipped else fitted
        boxes = self._boxes(row.objects)
        large = np.all((boxes[:, 2:] - boxes[:, :2]) >= MIN_LEARNT_SIDE_PX, axis=1)
        chosen = [item for item, fits in zip(row.objects, large, strict=True) if fits]
        self.boxes_xyxy = boxes[large]
        self.labels = _class_indices(chosen, labels)
        self.masks = np.stack([self._mask(item) for item in chosen]) if masks and chosen else None
        self.true_boxes_xyxy = self._boxes(row.image.objects)
        self.true_labels = _class_indices(row.image.objects, labels)

    def _boxes(self, objects: Sequence[TrueObject]) -> Float32:
        boxes = self._letterbox.boxes_to_input(np.array([item.box_xyxy for item in objects], np.float32).reshape(-1, 4))
        if self._flipped:
            boxes[:, [0, 2]] = self.side_px - boxes[:, [2, 0]]
        return boxes

    def _mask(self, item: TrueObject) -> ImageU8:
        assert item.mask_rle is not None, "labelled_images has seen to it"
        fitted = self._letterbox.mask_to_input(decode_rle(item.mask_rle))
        return np.asarray(fitted[:, ::-1] if self._flipped else fitted, np.uint8)


class _Mosaic:
    """Tiles of one size side by side."""

    def __init__(self, tiles: Sequence[_Tile], across: int) -> None:
        self._tiles = tiles
        self._across = across
        self._cell_hw = (tiles[0].side_px, tiles[0].side_px)
        self._offsets_xy = cell_offsets_xy(across, self._cell_hw)

    def scene(self, rng: np.random.Generator) -> Scene:
        image_hwc_u8 = join_in_grid([tile.image_hwc_u8 for tile in self._tiles], self._across, self._cell_hw)
        target = Target(
            boxes_xyxy=torch.from_numpy(self._shifted([tile.boxes_xyxy for tile in self._tiles])),
            labels=torch.from_numpy(1 + np.concatenate([tile.labels for tile in self._tiles])),
            masks=torch.from_numpy(self._masks()),
        )
        return Scene(
            image_hwc_u8=torch.from_numpy(jitter_camera(rng, image_hwc_u8)),
            target=target,
            true_boxes=torch.from_numpy(self._shifted([tile.true_boxes_xyxy for tile in self._tiles])),
            true_labels=torch.from_numpy(1 + np.concatenate([tile.true_labels for tile in self._tiles])),
        )

    def _shifted(self, boxes_of_tiles: list[Float32]) -> Float32:
        shifted = [boxes + np.tile(xy, 2) for boxes, xy in zip(boxes_of_tiles, self._offsets_xy, strict=True)]
        return np.concatenate(shifted).astype(np.float32)

    def _masks(self) -> ImageU8:
        side_px = self._across * self._cell_hw[0]
        parts = [np.zeros((0, side_px, side_px), np.uint8)]
        for tile, (x, y) in zip(self._tiles, self._offsets_xy, strict=True):
            if tile.masks is not None:
                part = np.zeros((len(tile.masks), side_px, side_px), np.uint8)
                part[:, y : y + tile.side_px, x : x + tile.side_px] = tile.masks
                parts.append(part)
        return np.concatenate(parts)


def _class_indices(objects: Sequence[TrueObject], labels: LabelSet) -> npt.NDArray[np.int64]:
    indices = [labels.index(item.label) for item in objects]
    unknown = next((item.label for item, index in zip(objects, indices, strict=True) if index is None), None)
    if unknown is not None:
        raise UserError(f"label {unknown!r} is none of the data set's; nearest: {', '.join(labels.nearest(unknown))}")
    return np.array(indices, np.int64)


def stack_scenes(scenes: Sequence[Scene]) -> tuple[torch.Tensor, list[Target], list[torch.Tensor], list[torch.Tensor]]:
    """Return images [B,S,S,3], targets, and the true boxes and labels of the log."""
    return (
        torch.stack([scene.image_hwc_u8 for scene in scenes]),
        [scene.target for scene in scenes],
        [scene.true_boxes for scene in scenes],
        [scene.true_labels for scene in scenes],
    )
