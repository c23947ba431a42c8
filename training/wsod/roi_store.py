"""Training examples of the weak detector: RoI features of every image, computed once with frozen features.

They are kept on disk, one file for each example: those of a whole data set do not fit into memory. Ranks share the
work, and a killed run goes on with the files that are there.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np
import torch

from models.image import read_image
from models.labels import LabelSet
from models.letterbox import Letterbox
from models.nets.backbone import MEAN_RGB
from models.nets.wsod import Wsod, pool_rois
from training.data.tagged import TaggedImage
from training.data.tiles import tag_vector
from training.proposals.store import StoredProposals
from training.runs.ranks import my_share, track_first, wait_for_ranks
from weaksam.files.atomic import replacing_bytes
from weaksam.files.damaged import read_arrays

EXAMPLE_VERSION = 2  # of what is kept of an example: files of another one are not read


@dataclass(frozen=True)
class RoiExample:
    """An image as the detector's head sees it.

    Attributes:
        pooled: [P,D,7,7] half precision RoI features.
        boxes_xyxy: [P,4] proposals in pixels of the graph's input.
        predicted_iou: [P].
        cam_overlap: [P,C] with the activation map of each class.
        tags: [C] zeros and ones.
        true_boxes_xyxy, true_labels: [K,4], [K], for the fully supervised twin; difficult ones are left out.
        confirmed: [] whether a person confirmed the true objects: then the weak detector learns from them, too.
    """

    pooled: torch.Tensor
    boxes_xyxy: torch.Tensor
    predicted_iou: torch.Tensor
    cam_overlap: torch.Tensor
    tags: torch.Tensor
    true_boxes_xyxy: torch.Tensor
    true_labels: torch.Tensor
    confirmed: torch.Tensor

    def to(self, device: torch.device) -> RoiExample:
        return RoiExample(*(getattr(self, field.name).to(device) for field in fields(self)))


@dataclass(frozen=True)
class ExampleFile:
    """An example on disk, and how many proposals it has."""

    path: Path
    proposals: int

    def read(self) -> RoiExample:
        return RoiExample(**{name: torch.from_numpy(array) for name, array in read_arrays(self.path).items()})


@dataclass(frozen=True)
class _Placed:
    """An image in the network's square input: scaled by ``scale`` and moved by ``offset_xy`` input pixels."""

    image: TaggedImage
    proposals: StoredProposals
    scale: float
    offset_xy: tuple[float, float]


def pool_images(
    net: Wsod,
    images: Sequence[TaggedImage],
    proposals: Sequence[StoredProposals],
    labels: LabelSet,
    side_px: int,
    folder: Path,
) -> list[ExampleFile]:
    """Return an example of each image at the size that is served, in order.

    ``folder`` must belong to this network, these images and proposals: what lies in it is not made again.
    """
    mosaics = [[_Placed(image, stored, 1.0, (0.0, 0.0))] for image, stored in zip(images, proposals, strict=True)]
    return _pool_mosaics(net, mosaics, labels, side_px, folder / "images")


def pool_quarters(
    net: Wsod,
    images: Sequence[TaggedImage],
    proposals: Sequence[StoredProposals],
    labels: LabelSet,
    side_px: int,
    seed: int,
    folder: Path,
) -> list[ExampleFile]:
    """Return examples as `pool_images` does, with each image as a quarter of a 2x2 mosaic, in the seed's order.

    This teaches small objects, in the surroundings of other images, yet each image keeps its own tags.
    """
    order = np.random.default_rng(seed).permutation(len(images))
    half = side_px / 2
    corners = [(0.0, 0.0), (half, 0.0), (0.0, half), (half, half)]
    mosaics = [
        [
            _Placed(images[i], proposals[i], 0.5, corner)
            for i, corner in zip(order[start : start + 4], corners, strict=False)
        ]
        for start in range(0, len(images), 4)
    ]
    return _pool_mosaics(net, mosaics, labels, side_px, folder / "quarters")


def _pool_mosaics(
    net: Wsod, mosaics: Sequence[Sequence[_Placed]], labels: LabelSet, side_px: int, folder: Path
) -> list[ExampleFile]:
    folder.mkdir(parents=True, exist_ok=True)
    files = [
        [
            ExampleFile(folder / f"{number}-{place}.npz", len(placed.proposals.boxes_xyxy))
            for place, placed in enumerate(mosaic)
        ]
        for number, mosaic in enumerate(mosaics)
    ]
    for mosaic, mine in track_first(my_share(list(zip(mosaics, files, strict=True))), "RoI features"):
        if not all(file.path.is_file() for file in mine):
            for example, file in zip(_pool_mosaic(net, mosaic, labels, side_px), mine, strict=True):
                _write(example, file.path)
    wait_for_ranks()
    return [file for mine in files for file in mine]


def _write(example: RoiExample, path: Path) -> None:
    with replacing_bytes(path) as file:
        np.savez(file, **{name: tensor.numpy() for name, tensor in vars(example).items()})


def _pool_mosaic(net: Wsod, mosaic: Sequence[_Placed], labels: LabelSet, side_px: int) -> list[RoiExample]:
    square = np.full((side_px, side_px, 3), MEAN_RGB, np.uint8)
    for placed in mosaic:
        tile_px = round(side_px * placed.scale)
        tile = Letterbox(placed.image.size_hw, tile_px).apply(read_image(placed.image.path), MEAN_RGB)
        left, top = (round(offset) for offset in placed.offset_xy)
        square[top : top + tile_px, left : left + tile_px] = tile
    with torch.no_grad():  # not inference mode: training goes on from these tensors
        features = net.encode(torch.from_numpy(square)[None].to(next(net.parameters()).device))
        return [_pool_placed(features, placed, labels, side_px) for placed in mosaic]


def _pool_placed(features: torch.Tensor, placed: _Placed, labels: LabelSet, side_px: int) -> RoiExample:
    shift = torch.tensor(placed.offset_xy * 2)
    boxes_xyxy = torch.from_numpy(placed.proposals.boxes_xyxy) * placed.scale + shift
    rois = torch.cat([boxes_xyxy.new_zeros(len(boxes_xyxy), 1), boxes_xyxy], dim=1)
    known = [(labels.index(true.label), true.box_xyxy) for true in placed.image.objects if not true.difficult]
    learnt = [(label, box_xyxy) for label, box_xyxy in known if label is not None]
    true_xyxy = np.array([box_xyxy for _, box_xyxy in learnt], np.float32).reshape(-1, 4)
    true_boxes_xyxy = torch.from_numpy(Letterbox(placed.image.size_hw, side_px).boxes_to_input(true_xyxy))
    return RoiExample(
        pooled=pool_rois(features, rois.to(features.device)).half().cpu(),
        boxes_xyxy=boxes_xyxy,
        predicted_iou=torch.from_numpy(placed.proposals.predicted_iou).clamp(0.01, 1),
        cam_overlap=torch.from_numpy(placed.proposals.cam_overlap).clamp(min=1e-4),
        tags=torch.from_numpy(tag_vector(placed.image.tags, labels)),
        true_boxes_xyxy=true_boxes_xyxy * placed.scale + shift,
        true_labels=torch.tensor([label for label, _ in learnt], dtype=torch.long),
        confirmed=torch.tensor(placed.image.confirmed is True),
    )
