"""Training examples of the detector: RoI features of every picture, computed once with frozen features."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np
import torch
from rich.progress import track

from models.image import read_image
from models.labels import LabelSet
from models.letterbox import Letterbox
from models.nets.backbone import MEAN_RGB
from models.nets.wsod import Wsod, pool_rois
from training.data.tagged import TaggedImage
from training.proposal_store import StoredProposals
from training.tiles import tag_vector


@dataclass(frozen=True)
class RoiExample:
    """One picture as the detector's head sees it.

    Attributes:
        pooled: [P,D,7,7] half precision RoI features.
        boxes: [P,4] proposals in pixels of the graph's input.
        predicted_iou: [P].
        tags: [C] zeros and ones.
        true_boxes, true_labels: [K,4], [K], for the fully supervised twin alone.
    """

    pooled: torch.Tensor
    boxes: torch.Tensor
    predicted_iou: torch.Tensor
    tags: torch.Tensor
    true_boxes: torch.Tensor
    true_labels: torch.Tensor

    def to(self, device: torch.device) -> RoiExample:
        return RoiExample(*(getattr(self, field.name).to(device) for field in fields(self)))


@dataclass(frozen=True)
class _Placed:
    """A picture on a canvas: scaled by ``scale`` and moved by ``offset_xy`` input pixels."""

    image: TaggedImage
    proposals: StoredProposals
    scale: float
    offset_xy: tuple[float, float]


def pool_examples(
    net: Wsod,
    images: Sequence[TaggedImage],
    proposals: Sequence[StoredProposals],
    labels: LabelSet,
    side_px: int,
    seed: int,
) -> list[RoiExample]:
    """Two examples of each picture: as it is served, and at half its size as a quarter of a canvas.

    The second teaches small objects, in the surroundings of other pictures, yet keeps each picture's own tags.
    """
    pairs = list(zip(images, proposals, strict=True))
    whole = [[_Placed(image, stored, 1.0, (0.0, 0.0))] for image, stored in pairs]
    order = np.random.default_rng(seed).permutation(len(pairs))
    half = side_px / 2
    corners = [(0.0, 0.0), (half, 0.0), (0.0, half), (half, half)]
    quarters = [
        [
            _Placed(images[i], proposals[i], 0.5, corner)
            for i, corner in zip(order[start : start + 4], corners, strict=False)
        ]
        for start in range(0, len(pairs), 4)
    ]
    canvases = track(whole + quarters, "RoI features")
    return [example for canvas in canvases for example in _pool_canvas(net, canvas, labels, side_px)]


def _pool_canvas(net: Wsod, canvas: Sequence[_Placed], labels: LabelSet, side_px: int) -> list[RoiExample]:
    square = np.full((side_px, side_px, 3), MEAN_RGB, np.uint8)
    for placed in canvas:
        tile_px = round(side_px * placed.scale)
        tile = Letterbox(placed.image.size_hw, tile_px).apply(read_image(placed.image.path), MEAN_RGB)
        left, top = (round(offset) for offset in placed.offset_xy)
        square[top : top + tile_px, left : left + tile_px] = tile
    with torch.no_grad():  # not inference mode: training goes on from these tensors
        features = net.encode(torch.from_numpy(square)[None].to(next(net.parameters()).device))
        return [_pool_placed(features, placed, labels, side_px) for placed in canvas]


def _pool_placed(features: torch.Tensor, placed: _Placed, labels: LabelSet, side_px: int) -> RoiExample:
    shift = torch.tensor(placed.offset_xy * 2)
    boxes = torch.from_numpy(placed.proposals.boxes_xyxy) * placed.scale + shift
    rois = torch.cat([boxes.new_zeros(len(boxes), 1), boxes], dim=1)
    true_xyxy = np.array([true.box_xyxy for true in placed.image.objects], np.float32).reshape(-1, 4)
    true_boxes = torch.from_numpy(Letterbox(placed.image.size_hw, side_px).boxes_to_input(true_xyxy))
    return RoiExample(
        pooled=pool_rois(features, rois.to(features.device)).half().cpu(),
        boxes=boxes,
        predicted_iou=torch.from_numpy(placed.proposals.predicted_iou).clamp(0.01, 1),
        tags=torch.from_numpy(tag_vector(placed.image.tags, labels)),
        true_boxes=true_boxes * placed.scale + shift,
        true_labels=torch.tensor([labels.index(true.label) or 0 for true in placed.image.objects], dtype=torch.long),
    )
