"""The compact SAM's mask decoder arranged for serving: many prompts on one image, nothing approximated.

`decode_many` gives what the published decoder gives, up to rounding, in less time. An image has a thousand
pixels of embedding and a prompt seven tokens, so whatever can be done to tokens must not be done to pixels:

- A projection of pixels moves to the tokens' side of a product: q . (W x) = (W^T q) . x, and the rows (W^T q) of all
  heads and tokens are one matrix. What the tokens read from the pixels is projected after the sum over them.
- The weights of a head add up to 1, so an output's bias can be dealt out over the heads.
- A transposed convolution whose kernel is its stride is a matrix product; pixels stay rows until the mask is drawn.

Only the published modules' weights are used. Letters: P prompts, T tokens of a prompt, H heads, c channels of a head,
L pixels of the embedding, D channels.
"""

from __future__ import annotations

import torch
from segment_anything.modeling import MaskDecoder, PromptEncoder
from segment_anything.modeling.common import LayerNorm2d
from segment_anything.modeling.transformer import Attention, TwoWayAttentionBlock
from torch import nn
from torch.nn import functional

from models.nets.backbone import Fine, split_embedding
from models.nets.mask_quality import MaskQuality
from models.nets.prompt_geometry import PromptGeometry

MASK_LEVELS = 3
# Token 0 gives the IoU, token 1 is the single mask that several prompts share; 2.. are the three levels.
OUTPUT_TOKENS = (0, 2, 3, 4)
# onnxruntime adds a bias run by run of the last axis; runs of 16 channels would take longer than the products.
BIAS_RUN = 1024

Sizes = tuple[int, int]


def decode_many(
    prompt_encoder: PromptEncoder,
    mask_decoder: MaskDecoder,
    embedding: torch.Tensor,
    coords: torch.Tensor,
    labels: torch.Tensor,
    *,
    geometry: PromptGeometry | None = None,
    quality: MaskQuality | None = None,
    half: bool = False,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Decode many prompts on one image.

    Without fine maps, ``geometry`` and ``quality`` this equals `MaskDecoder.forward(multimask_output=True)`.

    Args:
        prompt_encoder, mask_decoder: Segment Anything's own modules.
        embedding: [1,D,e,e] of one image, or [1,4D,e,e] with the maps of `FinePyramid` packed in.
        coords: [P,N,2] x, y in pixels of the square input.
        labels: [P,N] 1 foreground, 0 background, 2 and 3 box corners, -1 padding.
        geometry: adds maps of the prompts, if the network has learnt with them.
        quality: corrects the predicted IoU, if the network has it.
        half: draw every second row and column alone, which is enough for boxes.

    Returns:
        Mask logits [P,3,4e,4e], or [P,3,2e,2e], and predicted IoU [P,3].
    """
    embedding, fine = split_embedding(embedding, mask_decoder.transformer_dim)
    output_tokens = _output_tokens(mask_decoder)
    sizes = (coords.shape[0], coords.shape[1] + len(output_tokens))
    sparse = embed_points(prompt_encoder, coords, labels)
    tokens = torch.cat([output_tokens[None].expand(sizes[0], -1, -1), sparse], dim=1)
    tokens = tokens.reshape(-1, output_tokens.shape[1])  # [PT,D]
    pixels = _rows(embedding + prompt_encoder.no_mask_embed.weight.reshape(1, -1, 1, 1))  # [1,L,D]
    places = _rows(prompt_encoder.get_dense_pe())
    states = tokens
    for number, layer in enumerate(mask_decoder.transformer.layers):
        # Not before the first layer: until then all prompts share the image's pixels, which is cheaper.
        if geometry is not None and number == 1:
            pixels = pixels + geometry.pixels(coords, labels, embedding.shape[-1])
        states, pixels = _two_way(layer, states, tokens, pixels, places, sizes)
    states, tokens = _output_rows(states, sizes), _output_rows(tokens, sizes)
    last, norm = mask_decoder.transformer.final_attn_token_to_image, mask_decoder.transformer.norm_final_attn
    read = _read_pixels(last, states + tokens, pixels + places, pixels, (sizes[0], len(OUTPUT_TOKENS)))
    states = norm(states + read).reshape(sizes[0], len(OUTPUT_TOKENS), -1)
    weights = [mask_decoder.output_hypernetworks_mlps[1 + level](states[:, 1 + level]) for level in range(MASK_LEVELS)]
    draw = _draw_half if half else _draw
    logits = draw(mask_decoder.output_upscaling, pixels, torch.stack(weights, dim=1), fine, embedding.shape[-1])
    if geometry is not None:
        logits = logits + geometry.logits(coords, labels, states[:, 1:], embedding.shape[-1], half=half)
    predicted_iou: torch.Tensor = mask_decoder.iou_prediction_head(states[:, 0])[:, 1:]
    if quality is not None:
        predicted_iou = quality(states, logits if half else logits[..., ::2, ::2], predicted_iou)
    return logits, predicted_iou


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


def _output_tokens(mask_decoder: MaskDecoder) -> torch.Tensor:
    """Return the decoder's own tokens [T,D]; SAM 2's has one more, whose place does not matter."""
    more = [mask_decoder.obj_score_token.weight] if hasattr(mask_decoder, "obj_score_token") else []
    return torch.cat([mask_decoder.iou_token.weight, mask_decoder.mask_tokens.weight, *more])


def _two_way(
    layer: TwoWayAttentionBlock,
    states: torch.Tensor,
    tokens: torch.Tensor,
    pixels: torch.Tensor,
    places: torch.Tensor,
    sizes: Sizes,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Run one block of the transformer; pixels [1 or P,L,D] are the image's until tokens have written to them."""
    if layer.skip_first_layer_pe:
        states = _attend(layer.self_attn, states, states, states, sizes, sizes)
    else:
        own = states + tokens
        states = states + _attend(layer.self_attn, own, own, states, sizes, sizes)
    states = layer.norm1(states)
    located = pixels + places
    # Pixels that all prompts share are cheaper to project themselves, once.
    shared = pixels.shape[0] == 1
    into = layer.cross_attn_token_to_image
    if shared:
        read = _attend(into, states + tokens, located, pixels, sizes, (1, pixels.shape[1]))
    else:
        read = _read_pixels(into, states + tokens, located, pixels, sizes)
    states = layer.norm2(states + read)
    states = layer.norm3(states + layer.mlp(states))
    written = _write_pixels(layer.cross_attn_image_to_token, located, states + tokens, states, sizes, shared=shared)
    return states, layer.norm4(pixels + written)


def _attend(
    attention: Attention, asking: torch.Tensor, located: torch.Tensor, values: torch.Tensor, sizes: Sizes, of: Sizes
) -> torch.Tensor:
    """Run the published attention, from rows [PT,D] of ``sizes`` to rows of sizes ``of``."""
    queries = _by_head(attention, attention.q_proj(asking), sizes) * _scale(attention)
    keys = _by_head(attention, attention.k_proj(located), of)
    read = (queries @ keys.transpose(2, 3)).softmax(dim=-1) @ _by_head(attention, attention.v_proj(values), of)
    attended: torch.Tensor = attention.out_proj(read.transpose(1, 2).reshape(-1, attention.internal_dim))
    return attended


def _read_pixels(
    attention: Attention, asking: torch.Tensor, located: torch.Tensor, pixels: torch.Tensor, sizes: Sizes
) -> torch.Tensor:
    """Return what tokens [PT,D] read from pixels [P,L,D]. Softmax drops a bias of the keys: all pixels share it."""
    prompts, channels = sizes[0], pixels.shape[-1]
    queries = _by_head(attention, attention.q_proj(asking), sizes) * _scale(attention)
    asked = (queries @ _weights(attention, attention.k_proj)).reshape(prompts, -1, channels)  # [P,HT,D]
    seen = (asked @ located.transpose(1, 2)).softmax(dim=-1) @ pixels  # [P,HT,D]
    seen = seen.reshape(prompts, attention.num_heads, -1, channels)
    read = seen @ _weights(attention, attention.v_proj).transpose(1, 2)  # [P,H,T,c]
    read = read.transpose(1, 2).reshape(-1, attention.internal_dim) + attention.v_proj.bias
    attended: torch.Tensor = attention.out_proj(read)
    return attended


def _write_pixels(
    attention: Attention,
    located: torch.Tensor,
    tokens: torch.Tensor,
    values: torch.Tensor,
    sizes: Sizes,
    *,
    shared: bool,
) -> torch.Tensor:
    """Return what tokens [PT,D] write to pixels [1 or P,L,D], as [P,L,D]."""
    prompts, heads, length = sizes[0], attention.num_heads, located.shape[1]
    keys = _by_head(attention, attention.k_proj(tokens), sizes) * _scale(attention)
    if shared:
        scores = keys @ _by_head(attention, attention.q_proj(located), (1, length)).transpose(2, 3)  # [P,H,T,L]
    else:
        asked = (keys @ _weights(attention, attention.q_proj)).reshape(prompts, -1, located.shape[-1])  # [P,HT,D]
        shift = keys @ attention.q_proj.bias.reshape(heads, -1, 1)  # [P,H,T,1]
        scores = (asked @ located.transpose(1, 2)).reshape(prompts, heads, -1, length) + shift
    out = attention.out_proj.weight.T.reshape(heads, -1, attention.embedding_dim)  # [H,c,D]
    given = _by_head(attention, attention.v_proj(values), sizes) @ out + attention.out_proj.bias / heads
    shares = _softmax_over_tokens(scores).reshape(prompts, -1, length)
    written: torch.Tensor = shares.transpose(1, 2) @ given.reshape(prompts, -1, attention.embedding_dim)
    return written


def _softmax_over_tokens(scores: torch.Tensor) -> torch.Tensor:
    """Take the softmax of [P,H,T,L] over T, spelled out: onnxruntime's own would transpose, or do rows of seven."""
    grown = (scores - scores.amax(dim=2, keepdim=True)).exp()
    return grown / grown.sum(dim=2, keepdim=True)


def _draw(
    upscaling: nn.Sequential, pixels: torch.Tensor, weights: torch.Tensor, fine: Fine | None, side: int
) -> torch.Tensor:
    """Draw logits [P,3,4e,4e]: pixels [P,L,D] upscaled twice, times the mask weights [P,3,D/8]."""
    second, bias = _second(upscaling)
    wide, narrow = second.in_channels, second.out_channels
    # Kernels by row of the 2x2 patch, so that each product's rows are runs of pixels along x.
    lower = second.weight.permute(2, 0, 3, 1).reshape(2, 1, 1, wide, 2 * narrow)  # [dy,1,1,wide,(dx,narrow)]
    rows = _upscale_once(upscaling, pixels, fine, side) @ lower
    if fine is None:
        rows = _add_bias(rows, bias).reshape(2, 2, -1, 4 * side * side, narrow)
    else:
        of_image = fine[1].reshape(2, 2, 1, -1, narrow)
        rows = rows.reshape(2, 2, -1, 4 * side * side, narrow) + (of_image + bias)
    rows = functional.gelu(rows)
    logits = (weights @ rows.transpose(3, 4)).reshape(2, 2, -1, MASK_LEVELS, side, 4 * side)
    return logits.permute(2, 3, 4, 1, 0, 5).reshape(-1, MASK_LEVELS, 4 * side, 4 * side)


def _draw_half(
    upscaling: nn.Sequential, pixels: torch.Tensor, weights: torch.Tensor, fine: Fine | None, side: int
) -> torch.Tensor:
    """Draw what `_draw` gives in every second row and column, [P,3,2e,2e], at a quarter of the work."""
    second, bias = _second(upscaling)
    narrow = second.out_channels
    rows = _upscale_once(upscaling, pixels, fine, side) @ second.weight[:, :, 0, 0]  # [dy,P,(y,x,dx),narrow]
    if fine is None:
        rows = _add_bias(rows, bias).reshape(2, -1, 2 * side * side, narrow)
    else:
        rows = rows + (fine[1][0, ..., 0, :].reshape(2, 1, -1, narrow) + bias)
    logits = (weights @ functional.gelu(rows).transpose(2, 3)).reshape(2, -1, MASK_LEVELS, side, 2 * side)
    return logits.permute(1, 2, 3, 0, 4).reshape(-1, MASK_LEVELS, 2 * side, 2 * side)


def _upscale_once(upscaling: nn.Sequential, pixels: torch.Tensor, fine: Fine | None, side: int) -> torch.Tensor:
    """Return pixels [P,L,D] at twice the side, by the row of the 2x2 patch they lie in: [2,P,2L,D/4]."""
    first, norm = upscaling[0], upscaling[1]
    assert isinstance(first, nn.ConvTranspose2d)
    assert isinstance(norm, LayerNorm2d)
    assert first.bias is not None
    wide = first.out_channels
    upper = first.weight.permute(2, 0, 3, 1).reshape(2, 1, -1, 2 * wide)  # [dy,1,D,(dx,wide)]
    rows = pixels @ upper  # [dy,P,L,(dx,wide)]
    if fine is None:
        rows = _add_bias(rows, first.bias).reshape(2, -1, 2 * side * side, wide)
    else:
        rows = rows.reshape(2, -1, 2 * side * side, wide) + (fine[0].reshape(2, 1, -1, wide) + first.bias)
    return functional.gelu(functional.layer_norm(rows, (wide,), norm.weight, norm.bias, norm.eps))


def _second(upscaling: nn.Sequential) -> tuple[nn.ConvTranspose2d, torch.Tensor]:
    """The second of the two transposed convolutions, and its bias."""
    second = upscaling[3]
    assert isinstance(second, nn.ConvTranspose2d)
    assert second.bias is not None
    return second, second.bias


def _add_bias(rows: torch.Tensor, bias: torch.Tensor) -> torch.Tensor:
    return rows.reshape(-1, BIAS_RUN) + bias.repeat(BIAS_RUN // bias.shape[0])


def _rows(maps: torch.Tensor) -> torch.Tensor:
    """Return maps [B,D,e,e] as pixels [B,L,D]."""
    return maps.flatten(2).transpose(1, 2)


def _output_rows(rows: torch.Tensor, sizes: Sizes) -> torch.Tensor:
    """Return those of rows [PT,D] whose tokens become outputs."""
    return rows.reshape(*sizes, -1)[:, torch.tensor(OUTPUT_TOKENS)].reshape(-1, rows.shape[-1])


def _by_head(attention: Attention, rows: torch.Tensor, sizes: Sizes) -> torch.Tensor:
    """Return projected rows of ``sizes`` [P,T], flattened or not, as [P,H,T,c]."""
    return rows.reshape(*sizes, attention.num_heads, -1).transpose(1, 2)


def _weights(attention: Attention, projection: nn.Linear) -> torch.Tensor:
    """Return the weights of a projection by head, [H,c,D]."""
    return projection.weight.reshape(attention.num_heads, -1, attention.embedding_dim)


def _scale(attention: Attention) -> float:
    return float((attention.internal_dim // attention.num_heads) ** -0.5)
