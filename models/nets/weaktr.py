"""WeakTr: class activation maps from a plain vision transformer trained on tags alone (arXiv 2304.01184).

Written from the paper, with two differences. Positions are resized to the image's size, so that any side that is a
multiple of the patch works. The pooling may be sharper than an average.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import timm
import torch
from timm.models.vision_transformer import Block, VisionTransformer
from torch import nn
from torch.nn import functional

from models.nets.backbone import create_timm_model, load_backbone_weights, normalise_image, trained_contrast
from models.nets.cam import smooth_max
from models.nets.cam_settings import WeakTrSettings
from weaksam.errors import UserError

Vit = Any  # a timm `VisionTransformer`: torch gives the parts of a network no types of their own


class WeakTrOutput(NamedTuple):
    """``class_logits`` [B,C] of class tokens; maps ``coarse``, ``fine`` [B,C,h,w]; ``cross`` [B,H,C,h,w] by block."""

    class_logits: torch.Tensor
    coarse: torch.Tensor
    fine: torch.Tensor
    cross: list[torch.Tensor]


class AttentionFusion(nn.Module):
    """Adaptive attention fusion: weights 0..1 of all heads of all blocks, estimated for each image.

    Squeeze and excitation (arXiv 1709.01507) over the heads. What is squeezed are the features that each head found:
    its attention would not do, for the rows of a softmax sum to one whatever the image shows.
    """

    def __init__(self, heads: int, reduction: int) -> None:
        super().__init__()
        hidden = max(1, heads // reduction)
        self.excite = nn.Sequential(nn.Linear(heads, hidden), nn.ReLU(), nn.Linear(hidden, heads), nn.Sigmoid())

    def forward(self, features: Sequence[torch.Tensor]) -> torch.Tensor:
        """Return weights [B,L*H] of head features [B,T,H,d] of each of L blocks."""
        squeezed = torch.cat([block.float().mean(dim=(1, 3)) for block in features], dim=1)
        weights: torch.Tensor = self.excite(squeezed)
        return weights


class WeakTr(nn.Module):
    """A ViT with one class token for each class, whose attention refines the maps of its patch tokens.

    Args:
        vit: a timm ViT with one class token, built with ``dynamic_img_size=True``.
        classes: number of labels C.
        side_px: side of the square images that positions are laid out for; other sides resize them.
        settings: see `WeakTrSettings`.

    Attributes:
        stride_px: of the maps: the ViT's patch.
        side_multiple_px: sides of images must be a multiple of this.
    """

    contrast: torch.Tensor

    def __init__(self, vit: Vit, classes: int, side_px: int, settings: WeakTrSettings) -> None:
        super().__init__()
        self.stride_px = self.side_multiple_px = int(vit.patch_embed.patch_size[0])
        self.inverse_temperature = settings.inverse_temperature
        self.cross_blocks = settings.cross_blocks
        # Without the ViT's last norm: what it puts out has a mean of zero, and a class's logit is its token's mean.
        self.patch_embed, self.norm_pre, self.blocks = vit.patch_embed, vit.norm_pre, vit.blocks
        # Not the mean as well: mid-grey, the colour of padding, must stay zero.
        self.register_buffer("contrast", trained_contrast(vit).reshape(1, 3, 1, 1), persistent=False)
        class_position, positions = _split_positions(vit)
        cells = side_px // self.stride_px
        self.positions = nn.Parameter(resize_positions(positions, cells, cells))  # [1,D,g,g]
        token = (vit.cls_token + class_position).detach()
        self.class_tokens = nn.Parameter(token.repeat(1, classes, 1))  # [1,C,D]
        with torch.no_grad():  # tokens that start equal would get equal gradients from everything but their own tag
            self.class_tokens.add_(torch.randn_like(self.class_tokens) * 0.02)
        self.head = nn.Conv2d(vit.embed_dim, classes, kernel_size=3, padding=1)
        self.heads = [int(block.attn.num_heads) for block in vit.blocks]
        self.fusion = AttentionFusion(sum(self.heads), settings.fusion_reduction)
        self._attention: list[torch.Tensor] = []
        self._features: list[torch.Tensor] = []
        for block in vit.blocks:
            self._listen(block)

    @property
    def map_kinds(self) -> tuple[str, ...]:
        """Names of the maps of `tag_maps`, in their order."""
        cross = (f"cross_{block}_{head}" for block in self.cross_blocks for head in range(self.heads[block]))
        return ("coarse", "fine", *cross)

    def forward(self, image_bhwc_u8: torch.Tensor) -> WeakTrOutput:
        """Return class logits and maps of images uint8 [B,S,S,3], of stride ``stride_px``."""
        patches = self.patch_embed(normalise_image(image_bhwc_u8) * self.contrast)
        batch, rows, columns, width = patches.shape
        positions = resize_positions(self.positions, rows, columns).flatten(2).transpose(1, 2)
        patches = patches.reshape(batch, rows * columns, width) + positions
        tokens = torch.cat([self.class_tokens.expand(batch, -1, -1), patches], dim=1)  # [B,C+h*w,D]
        tokens, attention, features = self._attend(tokens)
        classes = self.class_tokens.shape[1]
        coarse = self.head(tokens[:, classes:].transpose(1, 2).reshape(batch, width, rows, columns)).float()
        fine = self._fine_maps(coarse, attention, features)
        cross = [
            attention[block][:, :, :classes, classes:].reshape(batch, -1, classes, rows, columns)
            for block in self.cross_blocks
        ]
        return WeakTrOutput(tokens[:, :classes].mean(dim=2), coarse, fine, cross)

    def tag_maps(self, image_bhwc_u8: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return tag logits [B,C] and maps [B,K,C,h,w] of images uint8 [B,S,S,3], in the order of `map_kinds`.

        A tag's logit is the mean of its class token's and of its pooled coarse map's.
        """
        output = self(image_bhwc_u8)
        logits = (output.class_logits + smooth_max(output.coarse, self.inverse_temperature)) / 2
        return logits, torch.cat([output.coarse[:, None], output.fine[:, None], *output.cross], dim=1)

    def backbone_parameters(self) -> list[nn.Parameter]:
        """Return what may come from pre-training."""
        parts = (self.patch_embed, self.norm_pre, self.blocks)
        return [self.positions, *(parameter for part in parts for parameter in part.parameters())]

    def _attend(self, tokens: torch.Tensor) -> tuple[torch.Tensor, list[torch.Tensor], list[torch.Tensor]]:
        """Return tokens [B,T,D] after all blocks, with each block's attention [B,H,T,T] and head features [B,T,H,d]."""
        tokens = self.blocks(self.norm_pre(tokens)).float()
        attention, features = list(self._attention), list(self._features)
        self._attention.clear()
        self._features.clear()
        return tokens, attention, features

    def _fine_maps(
        self, coarse: torch.Tensor, attention: Sequence[torch.Tensor], features: Sequence[torch.Tensor]
    ) -> torch.Tensor:
        """Return coarse maps [B,C,h,w] refined by the attention of this forward pass.

        The fused class-to-patch attention picks, the fused patch-to-patch attention spreads. Attention and
        coarse maps are taken as they are: this branch teaches the fusion which heads to listen to.
        """
        batch, classes, rows, columns = coarse.shape
        weights = self.fusion(features).split(self.heads, dim=1)
        per_block = list(zip(weights, (seen.detach() for seen in attention), strict=True))
        class_to_patch = sum(torch.einsum("bh,bhcp->bcp", w, seen[:, :, :classes, classes:]) for w, seen in per_block)
        patch_to_patch = sum(torch.einsum("bh,bhpq->bpq", w, seen[:, :, classes:, classes:]) for w, seen in per_block)
        picked = class_to_patch * coarse.detach().relu().flatten(2)
        return torch.einsum("bpq,bcq->bcp", patch_to_patch, picked).reshape(batch, classes, rows, columns)

    def _listen(self, block: Any) -> None:
        attention = block.attn
        attention.fused_attn = False  # the fused kernel never shows its attention

        def keep_attention(_: nn.Module, inputs: tuple[torch.Tensor]) -> None:
            self._attention.append(inputs[0].float())

        def keep_features(_: nn.Module, inputs: tuple[torch.Tensor]) -> None:
            batch, tokens, _width = inputs[0].shape
            self._features.append(inputs[0].reshape(batch, tokens, attention.num_heads, -1))

        attention.attn_drop.register_forward_pre_hook(keep_attention)
        attention.proj.register_forward_pre_hook(keep_features)


def resize_positions(positions: torch.Tensor, rows: int, columns: int) -> torch.Tensor:
    """Return position embeddings [1,D,g,g] on a grid of another size; unchanged if the size is the same."""
    if (rows, columns) == tuple(positions.shape[2:]):
        return positions
    return functional.interpolate(positions, (int(rows), int(columns)), mode="bicubic", align_corners=False)


def build_weaktr(backbone: str, classes: int, side_px: int, settings: WeakTrSettings, weights: str = "none") -> WeakTr:
    """Build WeakTr over a timm ViT.

    Args:
        backbone: a timm ViT with one class token, such as ``deit_small_patch16_224``.
        classes: number of labels.
        side_px: side of the square images; a multiple of the ViT's patch.
        settings: see `WeakTrSettings`.
        weights: ``none`` (random), ``hub`` (timm downloads its own) or the path of a safetensors file of ``backbone``.

    Raises:
        UserError: a setting does not fit the backbone, or the file is not of this backbone.
    """
    vit = _create_vit(backbone, weights == "hub")
    if weights not in ("none", "hub"):
        load_backbone_weights(vit, weights, backbone)
    patch_px, blocks = int(vit.patch_embed.patch_size[0]), len(vit.blocks)
    if side_px % patch_px:
        raise UserError(f"side_px is {side_px}: {backbone} takes multiples of {patch_px}")
    if not all(0 <= block < blocks for block in settings.cross_blocks):
        named = list(settings.cross_blocks)
        raise UserError(f"weaktr.cross_blocks is {named}: {backbone} has blocks 0 to {blocks - 1}")
    return WeakTr(vit, classes, side_px, settings)


def _create_vit(backbone: str, pretrained: bool) -> Vit:
    remedy = "take a timm ViT with one class token, such as deit_small_patch16_224"
    if not timm.is_model(backbone):
        raise UserError(f"backbone {backbone!r} is not known to timm: {remedy}")
    try:
        vit = create_timm_model(backbone, pretrained, dynamic_img_size=True)
    except TypeError as error:  # only vision transformers know the argument
        raise UserError(f"backbone {backbone!r} is no plain vision transformer: {remedy}") from error
    if not _is_plain(vit):
        raise UserError(f"backbone {backbone!r} is no plain vision transformer: {remedy}")
    return vit


def _is_plain(vit: Vit) -> bool:
    return (
        isinstance(vit, VisionTransformer)
        and vit.cls_token is not None
        and vit.num_prefix_tokens == 1
        and isinstance(vit.pos_embed, nn.Parameter)
        and all(isinstance(block, Block) for block in vit.blocks)
    )


def _split_positions(vit: Vit) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the class token's position [1,1,D], zero if the ViT has none, and the patches' as a grid [1,D,g,g]."""
    embedded = vit.pos_embed.detach()
    prefix = 0 if vit.no_embed_class else 1
    class_position = embedded[:, :1] if prefix else torch.zeros_like(embedded[:, :1])
    rows, columns = vit.patch_embed.grid_size
    grid = embedded[:, prefix:].reshape(1, rows, columns, -1).permute(0, 3, 1, 2)
    return class_position, grid.contiguous()
