"""The weakly supervised detector: two-stream scores (WSDDN) and refinement classifiers (OICR) on RoI features."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import nn
from torchvision.ops import roi_align

from models.nets.backbone import STRIDE_PX, FeaturePyramid, create_backbone, normalise_image

POOLED_SIDE = 7
REFINEMENTS = 3


class WsodOutput(NamedTuple):
    """Of P proposals in one picture, C classes.

    Attributes:
        wsddn: [P,C] softmax over classes times softmax over proposals; its sum over P is the picture's tag score.
        refined: REFINEMENTS logits [P,1+C], background first.
        deltas: [P,1,4] class-agnostic box deltas as in R-CNN.
    """

    wsddn: torch.Tensor
    refined: list[torch.Tensor]
    deltas: torch.Tensor


class RoiHead(nn.Module):
    """RoI features to scores: WSDDN (arXiv 1511.02853) with OICR's refinements (arXiv 1704.00138).

    Channels are reduced before pooling: the first layer would else be most of a bundle's size.
    """

    def __init__(self, channels: int, classes: int, pooled_channels: int = 64, hidden: int = 384) -> None:
        super().__init__()
        self.reduce = nn.Conv2d(channels, pooled_channels, kernel_size=1)
        self.layers = nn.Sequential(
            nn.Flatten(),
            nn.Linear(pooled_channels * POOLED_SIDE**2, hidden),
            nn.ReLU(),
            nn.Dropout(0.3),
            nn.Linear(hidden, hidden),
            nn.ReLU(),
            nn.Dropout(0.3),
        )
        self.of_classes = nn.Linear(hidden, classes)
        self.of_proposals = nn.Linear(hidden, classes)
        self.refinements = nn.ModuleList(nn.Linear(hidden, 1 + classes) for _ in range(REFINEMENTS))
        self.deltas = nn.Linear(hidden, 4)

    def embed(self, features: torch.Tensor, rois: torch.Tensor) -> torch.Tensor:
        """Features [B,D,e,e] and RoIs [R,5] (picture index, box in input pixels) to vectors [R,hidden]."""
        vectors: torch.Tensor = self.layers(pool_rois(self.reduce(features), rois))
        return vectors

    def embed_pooled(self, pooled: torch.Tensor) -> torch.Tensor:
        """`embed` for RoIs pooled beforehand [R,D,7,7]: pooling and the 1x1 reduction are linear and commute."""
        vectors: torch.Tensor = self.layers(self.reduce(pooled))
        return vectors

    def forward(self, vectors: torch.Tensor) -> WsodOutput:
        """Vectors [P,hidden] of all proposals of one picture."""
        wsddn = self.of_classes(vectors).softmax(dim=1) * self.of_proposals(vectors).softmax(dim=0)
        refined = [refinement(vectors) for refinement in self.refinements]
        return WsodOutput(wsddn, refined, self.deltas(vectors)[:, None])

    def scores(self, vectors: torch.Tensor) -> torch.Tensor:
        """Test scores [R,C]: the mean of the refinements' softmaxes, without background."""
        softmaxes = [refinement(vectors).softmax(dim=1)[:, 1:] for refinement in self.refinements]
        return torch.stack(softmaxes).mean(dim=0)


def pool_rois(features: torch.Tensor, rois: torch.Tensor) -> torch.Tensor:
    """RoIAlign of features [B,D,e,e] in RoIs [R,5] (picture index, box in input pixels) to [R,D,7,7]."""
    pooled: torch.Tensor = roi_align(features, rois, POOLED_SIDE, 1 / STRIDE_PX, sampling_ratio=2, aligned=True)
    return pooled


class Wsod(nn.Module):
    def __init__(self, backbone: nn.Module, classes: int, channels: int = 128) -> None:
        super().__init__()
        self.features = FeaturePyramid(backbone, channels)
        self.head = RoiHead(channels, classes)

    def encode(self, image_bhwc_u8: torch.Tensor) -> torch.Tensor:
        """Pictures uint8 [B,S,S,3] to features [B,D,S/8,S/8]."""
        features: torch.Tensor = self.features(normalise_image(image_bhwc_u8))
        return features

    def score(self, features: torch.Tensor, boxes: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Test scores [B,P,C], the mean of the refinements' softmaxes, and deltas [B,P,1,4] of proposals [B,P,4]."""
        batch, count = boxes.shape[:2]
        owner = torch.arange(batch, device=boxes.device, dtype=boxes.dtype)[:, None, None].expand(-1, count, 1)
        vectors = self.head.embed(features, torch.cat([owner, boxes], dim=2).flatten(0, 1))
        scores = self.head.scores(vectors).reshape(batch, count, -1)
        return scores, self.head.deltas(vectors).reshape(batch, count, 1, 4)


def build_wsod(backbone: str, classes: int, weights: str = "none") -> Wsod:
    return Wsod(create_backbone(backbone, weights), classes)
