"""The networks as they are served: wrappers made for tracing, with the inputs and outputs of the bundle's contract."""

from __future__ import annotations

import math

import torch
from segment_anything.modeling import MaskDecoder, PromptEncoder
from torch import nn

from models.nets.backbone import pack_embedding
from models.nets.cam_nets import AveragedCam, CamNet
from models.nets.compact_sam import CompactSam
from models.nets.detectors.detector import Detector
from models.nets.many_prompts import decode_many
from models.nets.mask_extent import profile_extent
from models.nets.mask_quality import MaskQuality
from models.nets.prompt_geometry import PromptGeometry
from models.nets.published_sam.open_published import PublishedNet
from models.nets.wsod import Wsod

Sam = CompactSam | PublishedNet
STABILITY_OFFSET = 1.0  # as SamAutomaticMaskGenerator's default
OUTSIDE_LOGIT = -32.0


class CamGraph(nn.Module):
    """``image`` uint8 [B,S,S,3] to ``scores`` [B,C] in 0..1 and ``maps`` [B,K,C,h,w] (logits, or attention)."""

    def __init__(self, net: CamNet | AveragedCam) -> None:
        super().__init__()
        self.net = net

    def forward(self, image: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        logits, maps = self.net.tag_maps(image)
        return logits.sigmoid(), maps


class SamEncoderGraph(nn.Module):
    """``image`` uint8 [B,S,S,3] to ``embedding`` [B,D,e,e], and to finer maps if the network has them.

    A network with a prompt map gives ``prompt_map`` [B,1,e,e] in 0 to 1 as well.
    """

    def __init__(self, net: Sam) -> None:
        super().__init__()
        self.net = net

    @property
    def has_prompt_map(self) -> bool:
        """Whether the network says where a point gives a good mask."""
        return isinstance(self.net, CompactSam) and self.net.prompt_map is not None

    def forward(self, image: torch.Tensor) -> torch.Tensor | tuple[torch.Tensor, ...]:
        features = self.net.encode(image)
        if not self.has_prompt_map:
            return features
        assert isinstance(self.net, CompactSam)
        assert isinstance(features, torch.Tensor)
        return features, self.net.prompt_logits(features).sigmoid()


class SamDecoderGraph(nn.Module):
    """``embedding`` [1,D,e,e], ``coords`` [P,N,2], ``labels`` [P,N], ``valid_hw`` [2] to boxes, iou, stability, logits.

    Boxes [P,M,4] and stability [P,M] are computed here because a mask level costs thousands of times the bytes of
    its box; they look at the valid area alone, so that padding is never part of an object.
    """

    def __init__(
        self,
        prompt_encoder: PromptEncoder,
        mask_decoder: MaskDecoder,
        side_px: int,
        geometry: PromptGeometry | None = None,
        quality: MaskQuality | None = None,
    ) -> None:
        super().__init__()
        self.prompt_encoder = prompt_encoder
        self.mask_decoder = mask_decoder
        self.geometry = geometry
        self.quality = quality
        self.side_px = side_px

    def forward(
        self, embedding: torch.Tensor, coords: torch.Tensor, labels: torch.Tensor, valid_hw: torch.Tensor
    ) -> tuple[torch.Tensor, ...]:
        logits, iou = self._decode(embedding, coords, labels)
        boxes, stability = extents(logits, self.side_px / logits.shape[-1], valid_hw)
        return boxes, iou, stability, logits.half()

    def _decode(
        self, embedding: torch.Tensor, coords: torch.Tensor, labels: torch.Tensor, *, half: bool = False
    ) -> tuple[torch.Tensor, torch.Tensor]:
        parts = (self.prompt_encoder, self.mask_decoder, embedding, coords, labels)
        return decode_many(*parts, geometry=self.geometry, quality=self.quality, half=half)


class SamBoxesGraph(SamDecoderGraph):
    """Inputs of `SamDecoderGraph` to its boxes, iou and stability, from every second row and column of the logits.

    Proposals need nothing else, and most of a decoder's time goes into pixels.
    """

    def forward(
        self, embedding: torch.Tensor, coords: torch.Tensor, labels: torch.Tensor, valid_hw: torch.Tensor
    ) -> tuple[torch.Tensor, ...]:
        logits, iou = self._decode(embedding, coords, labels, half=True)
        boxes, stability = extents(logits, self.side_px / logits.shape[-1], valid_hw, centre=0.25)
        return boxes, iou, stability


class FineDecoderGraph(SamDecoderGraph):
    """`SamDecoderGraph` with two more inputs of the encoder: ``fine_4`` [1,D/8,4e,4e] and ``fine_8`` [1,D/4,2e,2e]."""

    def forward(  # type: ignore[override]  # a graph has the inputs that its network needs
        self,
        embedding: torch.Tensor,
        fine_4: torch.Tensor,
        fine_8: torch.Tensor,
        coords: torch.Tensor,
        labels: torch.Tensor,
        valid_hw: torch.Tensor,
    ) -> tuple[torch.Tensor, ...]:
        return super().forward(pack_embedding(embedding, fine_8, fine_4), coords, labels, valid_hw)


def extents(
    logits: torch.Tensor, cell_px: float, valid_hw: torch.Tensor, centre: float = 0.5
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return boxes [P,M,4] and stability [P,M] of mask logits [P,M,h,h], of the valid area alone.

    ``centre`` is where in a cell its logit was taken, as a share of the cell's side.
    """
    centres = (torch.arange(logits.shape[-1], device=logits.device) + centre) * cell_px
    rows, columns = centres < valid_hw[0], centres < valid_hw[1]
    # Bounding takes one pass; choosing would first fill a tensor of the logits' size.
    bounds = torch.where(rows[:, None] & columns[None, :], torch.tensor(math.inf), torch.tensor(OUTSIDE_LOGIT))
    inside = torch.minimum(logits, bounds)
    stability = _pixels_above(inside, STABILITY_OFFSET) / _pixels_above(inside, -STABILITY_OFFSET).clamp(min=1)
    profiles = torch.stack([inside.amax(dim=2), inside.amax(dim=3)])  # [2,P,M,h], along x and along y
    first_xy, last_xy = profile_extent(profiles, cell_px, valid_hw.flip(0).reshape(2, 1, 1), centre)
    drawn = (last_xy > first_xy).all(dim=0)
    return torch.stack([*first_xy, *last_xy], dim=-1) * drawn[..., None], stability


class WsodGraph(nn.Module):
    """``image`` uint8 [B,S,S,3], ``boxes`` [B,P,4], ``valid`` [B,P] to ``scores`` [B,P,C] and ``deltas`` [B,P,1,4]."""

    def __init__(self, net: Wsod) -> None:
        super().__init__()
        self.net = net

    def forward(
        self, image: torch.Tensor, boxes: torch.Tensor, valid: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        scores, deltas = self.net.score(self.net.encode(image), boxes, valid)
        return scores * valid[..., None], deltas


class DetectorGraph(nn.Module):
    """``image`` uint8 [1,H,W,3] and ``allowed`` [C] to ``boxes`` [D,4], ``labels`` [D], ``scores`` [D] and masks.

    ``masks`` float16 [D,h,w] are logits over ``mask_frames`` [D,4] in input pixels, or over the boxes of a network that
    gives no frames. A network without masks gives neither. H and W are multiples of 32.
    """

    def __init__(self, net: Detector) -> None:
        super().__init__()
        self.net = net

    def forward(self, image: torch.Tensor, allowed: torch.Tensor) -> tuple[torch.Tensor, ...]:
        found = self.net.detect(image, allowed)
        outputs = {
            "boxes": found.boxes_xyxy,
            "labels": found.labels,
            "scores": found.scores,
            "masks": found.masks.half(),
            "mask_frames": found.mask_frames_xyxy,
        }
        return tuple(outputs[name] for name in self.net.output_names)


def _pixels_above(logits: torch.Tensor, threshold: float) -> torch.Tensor:
    return (logits > threshold).float().sum(dim=(2, 3))
