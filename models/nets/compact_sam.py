"""A small promptable segmenter: Segment Anything's prompt encoder and mask decoder over a light image encoder."""

from __future__ import annotations

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

MASK_LEVELS = 3


class CompactSam(nn.Module):
    """Segment Anything (arXiv 2304.02643) in small.

    Attributes:
        side_px: side S of the square input, a multiple of 32.
        fill_rgb: colour of the padding.
        feature_names: names of what `encode` returns.
        image_encoder: images float [B,3,S,S] to embeddings [B,4D,e,e] with fine maps packed in, e = S / 8.
    """

    def __init__(self, backbone: nn.Module, side_px: int, channels: int = 128, mlp_dim: int = 512) -> None:
        super().__init__()
        self.side_px, self.fill_rgb = side_px, MEAN_RGB
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

    def encode(self, image_bhwc_u8: torch.Tensor) -> torch.Tensor:
        """Return embeddings [B,4D,e,e] of images uint8 [B,S,S,3]."""
        embedding: torch.Tensor = self.image_encoder(normalise_image(image_bhwc_u8))
        return embedding


def build_compact_sam(backbone: str, side_px: int, weights: str = "none") -> CompactSam:
    return CompactSam(create_backbone(backbone, weights, with_stride_2=True), side_px)


def embed_points(prompt_encoder: PromptEncoder, coords: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """Return tokens [P,N,D] of points and box corners [P,N,2] with labels [P,N], as `PromptEncoder` embeds them.

    Written without boolean indexing, so that one traced graph serves every mixture of labels.
    """
    side_hw = prompt_encoder.input_image_size
    position = prompt_encoder.pe_layer.forward_with_coords(coords + 0.5, side_hw)
    kinds = torch.stack([embedding.weight[0] for embedding in prompt_encoder.point_embeddings])  # [4,D]
    padding = prompt_encoder.not_a_point_embed.weight[0]
    is_point = (labels >= 0)[..., None]
    kind = kinds[labels.clamp(min=0).long()]
    return torch.where(is_point, position + kind, padding.expand_as(position))
