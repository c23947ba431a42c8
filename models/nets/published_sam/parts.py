"""What the published Segment Anything networks share: pixels, prompt encoder and mask decoder."""

from __future__ import annotations

import torch
from segment_anything.modeling import MaskDecoder, PromptEncoder, TwoWayTransformer
from torch import nn

from models.nets.many_prompts import MASK_LEVELS

# https://github.com/facebookresearch/segment-anything/blob/dca509fe/segment_anything/build_sam.py#L103
PIXEL_MEAN = (123.675, 116.28, 103.53)
PIXEL_STD = (58.395, 57.12, 57.375)
FILL_RGB = (124, 116, 104)
DECODER_HEADS = 8


class PublishedPixels(nn.Module):
    """Images uint8 [B,S,S,3] to float [B,3,S,S], normalised as published; the fill colour becomes exactly 0.

    The published code pads after normalising, with zeros. The mean is no whole colour, so padding in the nearest one
    is sent to zero here; a pixel of the image that has this very colour moves by less than 0.01.
    """

    mean: torch.Tensor
    std: torch.Tensor
    fill: torch.Tensor

    def __init__(self) -> None:
        super().__init__()
        for name, values in (("mean", PIXEL_MEAN), ("std", PIXEL_STD), ("fill", FILL_RGB)):
            self.register_buffer(name, torch.tensor(values).reshape(1, 3, 1, 1), persistent=False)

    def forward(self, image_bhwc_u8: torch.Tensor) -> torch.Tensor:
        pixels = image_bhwc_u8.permute(0, 3, 1, 2).float()
        is_fill = (pixels == self.fill).all(dim=1, keepdim=True)
        return torch.where(is_fill, torch.zeros_like(pixels), (pixels - self.mean) / self.std)


def build_heads(
    channels: int, grid: int, side_px: int, mlp_dim: int, mask_channels: int
) -> tuple[PromptEncoder, MaskDecoder]:
    """Build Segment Anything's prompt encoder and mask decoder.

    Args:
        channels: D of the embedding.
        grid: side e of the embedding.
        side_px: side of the square input.
        mlp_dim: hidden channels of the decoder's transformer.
        mask_channels: hidden channels of the mask prompt's encoder, which serving does not use.
    """
    prompt_encoder = PromptEncoder(channels, (grid, grid), (side_px, side_px), mask_channels)
    transformer = TwoWayTransformer(depth=2, embedding_dim=channels, mlp_dim=mlp_dim, num_heads=DECODER_HEADS)
    mask_decoder = MaskDecoder(
        transformer_dim=channels,
        transformer=transformer,
        num_multimask_outputs=MASK_LEVELS,
        iou_head_depth=3,
        iou_head_hidden_dim=channels,
    )
    return prompt_encoder, mask_decoder
