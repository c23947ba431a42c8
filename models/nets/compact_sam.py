"""A small promptable segmenter: Segment Anything's prompt encoder and mask decoder over a light image encoder."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from segment_anything.modeling import MaskDecoder, PromptEncoder, TwoWayTransformer
from torch import nn

from models.nets.backbone import (
    MEAN_RGB,
    STRIDE_PX,
    FinePyramid,
    create_backbone,
    normalise_image,
)
from models.nets.many_prompts import MASK_LEVELS, decode_many
from models.nets.mask_quality import MaskQuality
from models.nets.prompt_geometry import PromptGeometry

RARE_LOGIT = -3.0


class CompactSam(nn.Module):
    """Segment Anything (arXiv 2304.02643) in small.

    Attributes:
        side_px: side S of the square input, a multiple of 32.
        fill_rgb: colour of the padding.
        feature_names: names of what `encode` returns.
        image_encoder: images float [B,3,S,S] to embeddings [B,4D,e,e] with fine maps packed in, e = S / 8.
        geometry: maps of the prompts for the decoder.
        quality: corrects the predicted IoU by what was drawn.
        prompt_map: embeddings [B,D,e,e] to logits [B,1,e,e] of where a point gives a good mask of a thing; None in a
            network without this map.
    """

    def __init__(
        self, backbone: nn.Module, side_px: int, channels: int = 128, mlp_dim: int = 512, *, prompt_map: bool = False
    ) -> None:
        super().__init__()
        self.side_px, self.fill_rgb = side_px, MEAN_RGB
        self.channels = channels
        self.feature_names = ("embedding",)
        self.embedding_side = side_px // STRIDE_PX
        self.image_encoder = FinePyramid(backbone, channels)
        self.prompt_encoder = PromptEncoder(
            embed_dim=channels,
            image_embedding_size=(self.embedding_side, self.embedding_side),
            input_image_size=(side_px, side_px),
            mask_in_chans=16,
        )
        self.mask_decoder = MaskDecoder(
            transformer_dim=channels,
            transformer=TwoWayTransformer(depth=2, embedding_dim=channels, mlp_dim=mlp_dim, num_heads=8),
            num_multimask_outputs=MASK_LEVELS,
            iou_head_depth=3,
            iou_head_hidden_dim=channels,
        )
        self.geometry = PromptGeometry(channels)
        self.quality = MaskQuality(channels)
        self.prompt_map = prompt_map_head(channels) if prompt_map else None

    def set_side(self, side_px: int) -> None:
        """Take inputs of another side from now on, a multiple of 32; no weight depends on it."""
        self.side_px, self.embedding_side = side_px, side_px // STRIDE_PX
        self.prompt_encoder.image_embedding_size = (self.embedding_side, self.embedding_side)
        self.prompt_encoder.input_image_size = (side_px, side_px)

    def encode(self, image_bhwc_u8: torch.Tensor) -> torch.Tensor:
        """Return embeddings [B,4D,e,e] of images uint8 [B,S,S,3]."""
        embedding: torch.Tensor = self.image_encoder(normalise_image(image_bhwc_u8))
        return embedding

    def decode(
        self, embedding: torch.Tensor, coords: torch.Tensor, labels: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Return mask logits [P,3,S/2,S/2] and predicted IoU [P,3] of prompts on one image, see `decode_many`."""
        parts = (self.prompt_encoder, self.mask_decoder, embedding, coords, labels)
        return decode_many(*parts, geometry=self.geometry, quality=self.quality)

    def prompt_logits(self, embedding: torch.Tensor) -> torch.Tensor:
        """Embeddings [B,4D,e,e] to the prompt map's logits [B,1,e,e]."""
        assert self.prompt_map is not None, "only a network with a prompt map has its logits"
        logits: torch.Tensor = self.prompt_map(embedding[:, : self.channels])
        return logits


def prompt_map_head(channels: int) -> nn.Module:
    """Return layers from [B,D,e,e] to logits [B,1,e,e] that start from "hardly anywhere", as focal losses want it."""
    last = nn.Conv2d(channels // 2, 1, kernel_size=1)
    assert last.bias is not None
    nn.init.constant_(last.bias, RARE_LOGIT)
    return nn.Sequential(nn.Conv2d(channels, channels // 2, kernel_size=3, padding=1), nn.GELU(), last)


def build_compact_sam(backbone: str, side_px: int, weights: str = "none", *, prompt_map: bool = False) -> CompactSam:
    return CompactSam(create_backbone(backbone, weights, with_stride_2=True), side_px, prompt_map=prompt_map)


def has_prompt_map(weights: Mapping[str, torch.Tensor]) -> bool:
    """Return whether a checkpoint is of a network with a prompt map."""
    return any(name.startswith("prompt_map.") for name in weights)
