"""The weakly supervised detector: two-stream scores (WSDDN) and refinement classifiers (OICR, MIST) on RoI features."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import nn
from torchvision.ops import roi_align

from models.nets.backbone import STRIDE_PX, FeaturePyramid, create_backbone, normalise_image
from models.nets.drop_block import ConcreteDropBlock
from models.nets.wsod_methods import REFINEMENTS, REGRESSORS, Method

POOLED_SIDE = 7
NO_PROPOSAL_LOGIT = -1e4


class WsodOutput(NamedTuple):
    """Scores of P proposals in one image, C classes.

    Attributes:
        wsddn: [P,C] softmax over classes times softmax over proposals; its sum over P is the image's tag score.
        refined: logits [P,1+C] of each refinement, background first.
        deltas: [P,K,4] class-agnostic box deltas as in R-CNN, of K regressors: OICR has one, on the last refinement's
            seeds, MIST one for each refinement.
    """

    wsddn: torch.Tensor
    refined: list[torch.Tensor]
    deltas: torch.Tensor


class RoiHead(nn.Module):
    """RoI features to scores: WSDDN (arXiv 1511.02853), with the refinements of OICR (arXiv 1704.00138) or MIST.

    Channels are reduced before pooling: the first layer would else be most of a bundle's size. MIST's drop block acts
    on the pooled and reduced features.
    """

    def __init__(
        self,
        channels: int,
        classes: int,
        pooled_channels: int = 64,
        hidden: int = 384,
        method: Method = "oicr",
        drop_share: float = 0.3,
    ) -> None:
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
        self.refinements = nn.ModuleList(nn.Linear(hidden, 1 + classes) for _ in range(REFINEMENTS[method]))
        self.deltas = nn.Linear(hidden, 4 * REGRESSORS[method]) if REGRESSORS[method] else None
        self.drop_block = ConcreteDropBlock(pooled_channels, drop_share) if method == "mist" else None

    def embed(self, features: torch.Tensor, rois: torch.Tensor) -> torch.Tensor:
        """Return vectors [R,hidden] of features [B,D,e,e] in RoIs [R,5] (image index, box in input pixels)."""
        vectors: torch.Tensor = self.layers(pool_rois(self.reduce(features), rois))
        return vectors

    def embed_pooled(self, pooled: torch.Tensor) -> torch.Tensor:
        """Do as `embed` for RoIs pooled beforehand [R,D,7,7], through the drop block if there is one.

        Pooling and the 1x1 reduction are linear and commute.
        """
        reduced = self.reduce(pooled)
        if self.drop_block is not None:
            reduced = self.drop_block(reduced)
        vectors: torch.Tensor = self.layers(reduced)
        return vectors

    def forward(self, vectors: torch.Tensor) -> WsodOutput:
        """Score vectors [P,hidden] of all proposals of one image."""
        wsddn = self.of_classes(vectors).softmax(dim=1) * self.of_proposals(vectors).softmax(dim=0)
        refined = [refinement(vectors) for refinement in self.refinements]
        return WsodOutput(wsddn, refined, self.regress(vectors))

    def regress(self, vectors: torch.Tensor) -> torch.Tensor:
        """Return deltas [P,K,4] of vectors [P,hidden]."""
        if self.deltas is None:
            return vectors.new_zeros(len(vectors), 0, 4)
        deltas: torch.Tensor = self.deltas(vectors).unflatten(-1, (-1, 4))
        return deltas

    def scores(self, vectors: torch.Tensor, valid: torch.Tensor | None = None) -> torch.Tensor:
        """Test scores [...,P,C] of vectors [...,P,hidden]: the mean of the refinements' softmaxes, without background.

        Without refinements WSDDN's own; its softmax over an image's proposals leaves out those that ``valid`` [...,P]
        has as 0.
        """
        if self.refinements:
            softmaxes = [refinement(vectors).softmax(dim=-1)[..., 1:] for refinement in self.refinements]
            return torch.stack(softmaxes).mean(dim=0)
        of_proposals = self.of_proposals(vectors)
        if valid is not None:
            of_proposals = of_proposals.masked_fill(valid[..., None] <= 0, NO_PROPOSAL_LOGIT)
        wsddn: torch.Tensor = self.of_classes(vectors).softmax(dim=-1) * of_proposals.softmax(dim=-2)
        return wsddn


def pool_rois(features: torch.Tensor, rois: torch.Tensor) -> torch.Tensor:
    """Pool features [B,D,e,e] in RoIs [R,5] (image index, box in input pixels) to [R,D,7,7] (RoIAlign)."""
    pooled: torch.Tensor = roi_align(features, rois, POOLED_SIDE, 1 / STRIDE_PX, sampling_ratio=2, aligned=True)
    return pooled


class Wsod(nn.Module):
    """A detector that is learnt from tags: a feature pyramid at a stride of 8 pixels, and a head that scores proposals.

    Args:
        backbone: yields the features that the pyramid joins.
        classes: C.
        channels: D, of the pyramid.
        method: which refinements the head has.
        drop_share: of MIST's drop block, see `ConcreteDropBlock`.
    """

    def __init__(
        self, backbone: nn.Module, classes: int, channels: int = 128, method: Method = "oicr", drop_share: float = 0.3
    ) -> None:
        super().__init__()
        self.features = FeaturePyramid(backbone, channels)
        self.head = RoiHead(channels, classes, method=method, drop_share=drop_share)

    def encode(self, image_bhwc_u8: torch.Tensor) -> torch.Tensor:
        """Return features [B,D,S/8,S/8] of images uint8 [B,S,S,3]."""
        features: torch.Tensor = self.features(normalise_image(image_bhwc_u8))
        return features

    def score(
        self, features: torch.Tensor, boxes: torch.Tensor, valid: torch.Tensor | None = None
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Test scores [B,P,C] and deltas [B,P,1,4], the regressors' mean, of proposals [B,P,4].

        ``valid`` [B,P] is 0 for padding; without it all proposals count. Without regressors all deltas are 0.
        """
        batch, count = boxes.shape[:2]
        owner = torch.arange(batch, device=boxes.device, dtype=boxes.dtype)[:, None, None].expand(-1, count, 1)
        vectors = self.head.embed(features, torch.cat([owner, boxes], dim=2).flatten(0, 1))
        scores = self.head.scores(vectors.reshape(batch, count, -1), valid)
        if self.head.deltas is None:
            return scores, torch.zeros_like(boxes)[:, :, None]
        return scores, self.head.regress(vectors).mean(dim=1).reshape(batch, count, 1, 4)


def build_wsod(backbone: str, classes: int, method: Method = "oicr", drop_share: float = 0.3) -> Wsod:
    return Wsod(create_backbone(backbone, "none"), classes, method=method, drop_share=drop_share)
