"""The reference's way to proposals: every peak and grid point through `SamPredictor`, one by one, in torch."""

from __future__ import annotations

from copy import deepcopy
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from segment_anything import SamPredictor
from segment_anything.modeling import MaskDecoder, Sam
from torch import nn

from models.bundle import Bundle
from models.letterbox import Letterbox
from models.masks.drawing import mask_box
from models.nets.backbone import MEAN_RGB, SCALE, Fine, split_embedding
from models.nets.compact_sam import CompactSam, build_compact_sam
from models.nets.graphs import STABILITY_OFFSET
from models.prompting.peaks import Peaks
from models.prompting.prompts import PADDING, DecodedBatch, PromptBatch
from models.prompting.proposals import Decode, Proposals, propose, run_proposing
from models.settings import PromptSettings
from tests.bench.bare_loop import BareLoop, Call
from tests.support.segmenters.reference_decoder import upscale
from weaksam.arrays import ImageU8

GRID_SIDE = 32
BACKBONE = "mobilenetv2_100"
NEVER = 2.0
# Lower than ours: the many near-duplicates of a full grid would crowd others out of the bound.
DUPLICATE_IOU = 0.95


class _EncoderAsPublished(nn.Module):
    """The compact SAM's image encoder with the one attribute that `Sam` and `SamPredictor` look at."""

    def __init__(self, net: CompactSam) -> None:
        super().__init__()
        self.img_size = net.side_px
        self.features = net.image_encoder

    def forward(self, normalised_bchw: torch.Tensor) -> torch.Tensor:
        features: torch.Tensor = self.features(normalised_bchw)
        return features


class _FineUpscaling(nn.Module):
    """The mask decoder's upscaling with one image's fine maps."""

    def __init__(self, published: nn.Sequential, fine: Fine | None) -> None:
        super().__init__()
        self.published = published
        self.fine = fine

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        return upscale(self.published, pixels, self.fine)


class _DecoderAsPublished(nn.Module):
    """The published mask decoder for embeddings that have fine maps packed in."""

    def __init__(self, decoder: MaskDecoder) -> None:
        super().__init__()
        self.decoder = deepcopy(decoder)
        self.upscaling = decoder.output_upscaling

    def forward(self, image_embeddings: torch.Tensor, **others: Any) -> Any:
        embedding, fine = split_embedding(image_embeddings, self.decoder.transformer_dim)
        self.decoder.output_upscaling = _FineUpscaling(self.upscaling, fine)
        return self.decoder(image_embeddings=embedding, **others)


def random_compact_sam(side_px: int) -> CompactSam:
    """Return a network of the default bundle's shapes, to be timed."""
    return build_compact_sam(BACKBONE, side_px).eval()


def sam_predictor(net: CompactSam) -> SamPredictor:
    """Return segment_anything's own predictor around a compact SAM."""
    sam = Sam(
        image_encoder=_EncoderAsPublished(net),
        prompt_encoder=net.prompt_encoder,
        mask_decoder=_DecoderAsPublished(net.mask_decoder),
        pixel_mean=[float(value) for value in MEAN_RGB],
        pixel_std=[1 / SCALE] * 3,
    )
    return SamPredictor(sam.eval())


def reference_proposals(
    decode: Decode, peaks: Peaks, valid_hw: tuple[int, int], settings: PromptSettings, run: int = 1
) -> Proposals:
    """Return proposals of peaks, their groups and a 32 x 32 grid; levels, filters and bound are those of `settings`.

    Args:
        decode: decodes a batch of `run` prompts.
        peaks: in pixels of the graph's input.
        valid_hw: part of that input that holds the image, in pixels.
        settings: of the bundle.
        run: prompts in one run of the decoder.
    """
    exhaustive = replace(
        settings,
        grid_sides=(GRID_SIDE,),
        focus_side=0,
        max_prompts=GRID_SIDE**2 + len(peaks) * 2,
        cover_min_iou=NEVER,
        duplicate_iou=DUPLICATE_IOU,
    )
    return run_proposing(propose(peaks, valid_hw, exhaustive), decode, (run,)).proposals


def decode_by_predictor(predictor: SamPredictor, letterbox: Letterbox) -> Decode:
    """Return a decoder of one prompt at a time; boxes are measured on masks at the image's full size."""
    height, width = letterbox.valid_hw

    def decode(batch: PromptBatch) -> DecodedBatch:
        given = batch.labels[0] != PADDING
        points_xy = letterbox.points_to_image(batch.coords[0, given])
        masks, iou, logits = predictor.predict(points_xy, batch.labels[0, given], multimask_output=True)
        boxes = letterbox.boxes_to_input(np.stack([mask_box(mask) for mask in masks]))
        rows, columns = (-(-side * logits.shape[-1] // letterbox.side_px) for side in (height, width))
        return DecodedBatch(boxes[None], iou[None], _stability(logits[:, :rows, :columns])[None])

    return decode


def decode_by_graphs(bundle: Bundle, graphs: BareLoop, image_hwc_u8: ImageU8, letterbox: Letterbox) -> Decode:
    """Return a decoder that runs the bundle's own graphs, which hold its trained weights."""
    square = letterbox.apply(image_hwc_u8, bundle.graphs["sam_encoder"].fill_rgb)
    features = graphs.run(Call("sam_encoder", {"image": square[None]}, bundle.decoder_features))
    fixed = dict(zip(bundle.decoder_features, features, strict=True))
    fixed["valid_hw"] = np.array(letterbox.valid_hw, np.float32)

    def decode(batch: PromptBatch) -> DecodedBatch:
        inputs = {**fixed, "coords": batch.coords, "labels": batch.labels}
        return DecodedBatch(*graphs.run(Call("sam_decoder", inputs, ("boxes", "iou", "stability"))))

    return decode


def _stability(logits_mhw: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    inner, outer = ((logits_mhw > cut).sum(axis=(1, 2)) for cut in (STABILITY_OFFSET, -STABILITY_OFFSET))
    return np.asarray(inner / np.maximum(outer, 1), dtype=np.float32)
