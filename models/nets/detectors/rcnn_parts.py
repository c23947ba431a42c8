"""Parts of the R-CNN that torchvision does not have, or not as they are wanted here."""

from __future__ import annotations

import torch
from torch import nn
from torchvision.models.detection.anchor_utils import AnchorGenerator
from torchvision.models.detection.faster_rcnn import TwoMLPHead
from torchvision.models.detection.image_list import ImageList
from torchvision.models.detection.rpn import RegionProposalNetwork, RPNHead
from torchvision.ops import FeaturePyramidNetwork, roi_align
from torchvision.ops.feature_pyramid_network import LastLevelMaxPool

from models.nets.backbone import backbone_maps, feature_widths, normalise_image
from models.nets.detectors.settings import RcnnSettings
from weaksam.errors import UserError

ASPECT_RATIOS = (0.5, 1.0, 2.0)
POOLED_SIDE = 7


class BoxHead(nn.Module):
    """Pooled features [R,D,7,7] to logits [R,1+C], background first, and deltas [R,4]."""

    def __init__(self, channels: int, hidden: int, classes: int) -> None:
        super().__init__()
        self.layers = TwoMLPHead(channels * POOLED_SIDE**2, hidden)
        self.logits = nn.Linear(hidden, 1 + classes)
        self.deltas = nn.Linear(hidden, 4)

    def forward(self, pooled: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        vectors = self.layers(pooled)
        return self.logits(vectors).float(), self.deltas(vectors).float()


class Pyramid(nn.Module):
    """Images uint8 [B,H,W,3] to feature maps [B,D,h,w] by level, the finest first."""

    def __init__(self, backbone: nn.Module, sizes: RcnnSettings) -> None:
        super().__init__()
        self.backbone = backbone
        levels = len(sizes.anchor_sides_px)
        extra = LastLevelMaxPool() if levels == 5 else None
        self.widths = feature_widths(backbone)[-min(levels, 4) :]
        self.merge = FeaturePyramidNetwork(self.widths, sizes.channels, extra)

    def forward(self, image_bhwc_u8: torch.Tensor) -> dict[str, torch.Tensor]:
        maps = backbone_maps(self.backbone, normalise_image(image_bhwc_u8))[-len(self.widths) :]
        merged: dict[str, torch.Tensor] = self.merge({str(i): features for i, features in enumerate(maps)})
        return merged


def roi_mask_targets(masks: torch.Tensor, boxes: torch.Tensor, matched: torch.Tensor, side: int) -> torch.Tensor:
    """Return what is to be drawn in boxes [R,4], as [R,M,M]: each one's part of masks [K,H,W] by ``matched`` [R].

    torchvision's own `project_masks_on_boxes` takes pixel centres for whole numbers; here boxes are half-open, and
    every learnt mask would lie half a pixel off.
    """
    rois = torch.cat([matched[:, None].to(boxes), boxes], dim=1)
    targets: torch.Tensor = roi_align(masks[:, None].to(boxes), rois, (side, side), 1.0, aligned=True)
    return targets[:, 0]


def build_rpn(sizes: RcnnSettings) -> RegionProposalNetwork:
    sides = sizes.anchor_sides_px
    if len({len(level) for level in sides}) != 1 or not 3 <= len(sides) <= 5:
        raise UserError(f"anchor_sides_px must have 3 to 5 levels of equally many sides, got {sides}")
    anchors = AnchorGenerator(sides, (ASPECT_RATIOS,) * len(sides))
    head = RPNHead(sizes.channels, anchors.num_anchors_per_location()[0])
    max_counts = {"training": 2 * sizes.proposals, "testing": sizes.proposals}
    return RegionProposalNetwork(anchors, head, 0.7, 0.3, 256, 0.5, max_counts, max_counts, nms_thresh=0.7)


def as_image_list(image_bhwc_u8: torch.Tensor) -> ImageList:
    """Return the form in which torchvision's parts take sizes; they look at nothing else of the images."""
    batch, height, width, _ = image_bhwc_u8.shape
    return ImageList(image_bhwc_u8.permute(0, 3, 1, 2), [(height, width)] * batch)
