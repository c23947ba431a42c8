"""The mask decoder written as it was published, for comparison with `models.nets.many_prompts`."""

from __future__ import annotations

import torch
from segment_anything.modeling import MaskDecoder, PromptEncoder
from torch import nn

from models.nets.backbone import Fine, split_embedding
from models.nets.many_prompts import MASK_LEVELS, embed_points


def decode_prompts(
    prompt_encoder: PromptEncoder,
    mask_decoder: MaskDecoder,
    embedding: torch.Tensor,
    coords: torch.Tensor,
    labels: torch.Tensor,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Decode many prompts on one picture; without fine maps equals `MaskDecoder.forward(multimask_output=True)`.

    The published decoder copies the embedding once per prompt. Left at batch 1 it broadcasts, and the first
    transformer layer projects the picture's keys once instead of P times.

    Args:
        embedding: [1,D,e,e] of one picture, or [1,4D,e,e] with the maps of `FinePyramid` packed in.
        coords: [P,N,2] x, y in pixels of the square input.
        labels: [P,N] 1 foreground, 0 background, 2 and 3 box corners, -1 padding.

    Returns:
        Mask logits [P,3,4e,4e] and predicted IoU [P,3].
    """
    sparse = embed_points(prompt_encoder, coords, labels)  # [P,N,D]
    prompts, channels = coords.shape[0], mask_decoder.transformer_dim
    embedding, fine = split_embedding(embedding, channels)
    side = embedding.shape[-1]
    output_tokens = torch.cat([mask_decoder.iou_token.weight, mask_decoder.mask_tokens.weight])
    tokens = torch.cat([output_tokens[None].expand(prompts, -1, -1), sparse], dim=1)
    source = embedding + prompt_encoder.no_mask_embed.weight.reshape(1, -1, 1, 1)
    answered, pixels = mask_decoder.transformer(source, prompt_encoder.get_dense_pe(), tokens)
    upscaled = upscale(
        mask_decoder.output_upscaling, pixels.transpose(1, 2).reshape(prompts, channels, side, side), fine
    )
    # Token 0 answers for IoU, token 1 is the single mask that several prompts share; 2.. are the three levels.
    weights = torch.stack(
        [mask_decoder.output_hypernetworks_mlps[1 + level](answered[:, 2 + level]) for level in range(MASK_LEVELS)],
        dim=1,
    )  # [P,3,D/8]
    logits = (weights @ upscaled.flatten(2)).reshape(prompts, MASK_LEVELS, 4 * side, 4 * side)
    return logits, mask_decoder.iou_prediction_head(answered[:, 0])[:, 1:]


def upscale(output_upscaling: nn.Sequential, pixels: torch.Tensor, fine: Fine | None) -> torch.Tensor:
    """`MaskDecoder.output_upscaling` of pixels [P,D,e,e] to [P,D/8,4e,4e], fine maps added on the way."""
    first, norm, act, second, last_act = output_upscaling
    twice = first(pixels)
    if fine is not None:
        twice = twice + fine[0].permute(4, 1, 0, 2, 3).reshape(twice[:1].shape)
    four_times = second(act(norm(twice)))
    if fine is not None:
        four_times = four_times + fine[1].permute(6, 2, 1, 0, 3, 4, 5).reshape(four_times[:1].shape)
    upscaled: torch.Tensor = last_act(four_times)
    return upscaled
