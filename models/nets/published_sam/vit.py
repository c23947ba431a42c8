"""Segment Anything as published: any checkpoint of `segment_anything`'s own format, ViT-B, ViT-L or ViT-H.

The sizes of a network are read from the shapes in its file, so that the name of the file is of no matter.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch
from segment_anything.modeling import ImageEncoderViT
from torch import nn

from models.nets.checkpoint_files import CheckpointError, State, load_exactly
from models.nets.published_sam.parts import FILL_RGB, PublishedPixels, build_heads


@dataclass(frozen=True)
class SamSizes:
    """Constructor arguments of the image encoder and of what hangs on them.

    Attributes:
        side_px: side S of the square input.
        patch_px: side of one patch; the embedding has side e = S / patch.
        width: channels of the transformer.
        depth: blocks.
        heads: attention heads of a block.
        window: side of the window of blocks with local attention, in patches.
        global_blocks: blocks that attend to the whole image.
        channels: D of the embedding.
        decoder_mlp: hidden channels of the mask decoder's transformer.
        mask_channels: hidden channels of the mask prompt's encoder, which serving does not use.
    """

    side_px: int
    patch_px: int
    width: int
    depth: int
    heads: int
    window: int
    global_blocks: tuple[int, ...]
    channels: int
    decoder_mlp: int
    mask_channels: int

    @property
    def name(self) -> str:
        names = {(sizes.width, sizes.depth): name for name, sizes in OFFICIAL_SIZES.items()}
        return names.get((self.width, self.depth), f"vit of width {self.width} and depth {self.depth}")


def _official(width: int, depth: int, heads: int, global_blocks: tuple[int, ...]) -> SamSizes:
    return SamSizes(1024, 16, width, depth, heads, 14, global_blocks, channels=256, decoder_mlp=2048, mask_channels=16)


# https://github.com/facebookresearch/segment-anything/blob/dca509fe/segment_anything/build_sam.py
OFFICIAL_SIZES = {
    "vit_b": _official(768, 12, 12, (2, 5, 8, 11)),
    "vit_l": _official(1024, 24, 16, (5, 11, 17, 23)),
    "vit_h": _official(1280, 32, 16, (7, 15, 23, 31)),
}


class OfficialSam(nn.Module):
    """The published modules under their published names, so that a checkpoint's keys fit.

    Attributes:
        side_px: side S of the square input.
        fill_rgb: colour of the padding.
        feature_names: names of what `encode` returns.
        image_encoder: images float [B,3,S,S] to embeddings [B,D,e,e].
    """

    def __init__(self, sizes: SamSizes) -> None:
        super().__init__()
        self.side_px, self.fill_rgb = sizes.side_px, FILL_RGB
        self.feature_names = ("embedding",)
        grid = sizes.side_px // sizes.patch_px
        self.image_encoder = ImageEncoderViT(
            img_size=sizes.side_px,
            patch_size=sizes.patch_px,
            embed_dim=sizes.width,
            depth=sizes.depth,
            num_heads=sizes.heads,
            out_chans=sizes.channels,
            norm_layer=partial(nn.LayerNorm, eps=1e-6),
            use_rel_pos=True,
            window_size=sizes.window,
            global_attn_indexes=sizes.global_blocks,
        )
        self.normalise = PublishedPixels()
        self.prompt_encoder, self.mask_decoder = build_heads(
            sizes.channels, grid, sizes.side_px, sizes.decoder_mlp, sizes.mask_channels
        )

    def encode(self, image_bhwc_u8: torch.Tensor) -> torch.Tensor:
        """Return embeddings [B,D,e,e] of images uint8 [B,S,S,3]."""
        embedding: torch.Tensor = self.image_encoder(self.normalise(image_bhwc_u8))
        return embedding


def load_official_sam(state: State, path: Path) -> tuple[OfficialSam, SamSizes]:
    """Return the network of an official checkpoint, in evaluation mode, and its sizes.

    Args:
        state: tensors by official names.
        path: of the checkpoint, for messages.

    Raises:
        CheckpointError: the file is of another format, or keys are missing or too many.
    """
    sizes = sizes_of(state, path)
    net = OfficialSam(sizes)
    load_exactly(net, state, path, f"Segment Anything's {sizes.name}")
    return net.float().eval(), sizes


def sizes_of(state: State, path: Path) -> SamSizes:
    """Return the sizes of a checkpoint's network; raises CheckpointError if its tensors fit none."""
    try:
        return _read_sizes(state)
    except (KeyError, AttributeError, IndexError, TypeError, ValueError, ZeroDivisionError) as error:
        raise CheckpointError(
            f"{path} is no published segmenter in its official format (looked for {error}): keys must begin with "
            "image_encoder., and with prompt_encoder. and mask_decoder. or sam_prompt_encoder. and sam_mask_decoder."
        ) from error


def _read_sizes(state: State) -> SamSizes:
    position = state["image_encoder.pos_embed"]  # [1,e,e,width]
    patch_px = state["image_encoder.patch_embed.proj.weight"].shape[-1]
    grid, width = position.shape[1], position.shape[-1]
    depth = sum(key.startswith("image_encoder.blocks.") and key.endswith(".norm1.weight") for key in state)
    relative = [
        state[f"image_encoder.blocks.{i}.attn.rel_pos_h"] for i in range(depth)
    ]  # [2 x window - 1, width/heads]
    windows = [(len(table) + 1) // 2 for table in relative]
    return SamSizes(
        side_px=grid * patch_px,
        patch_px=patch_px,
        width=width,
        depth=depth,
        heads=width // relative[0].shape[1],
        window=min(windows),
        global_blocks=tuple(i for i, window in enumerate(windows) if window == grid),
        channels=state["image_encoder.neck.0.weight"].shape[0],
        decoder_mlp=state["mask_decoder.transformer.layers.0.mlp.lin1.weight"].shape[0],
        mask_channels=state["prompt_encoder.mask_downscaling.3.weight"].shape[0],
    )
