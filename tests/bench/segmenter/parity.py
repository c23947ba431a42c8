"""`python -m tests.bench.segmenter.parity NAME`: an exported segmenter against its reference implementation.

Random weights are saved in the official format, read back, exported and run in onnxruntime. The reference has the same
weights: `transformers` for SAM 2 and EdgeTAM, MobileSAM's own package, `segment_anything` for the ViTs.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated, Any

import numpy as np
import numpy.typing as npt
import onnxruntime
import torch
import typer
from segment_anything.modeling import Sam

from deploy.export.graph_plans import sam_decoder_plan, sam_encoder_plan, smooth_images
from deploy.export.onnx_graph import export_graph
from deploy.weights.published import find_weights
from models.letterbox import Letterbox
from models.nets.graphs import extents
from models.nets.published_sam.mobile_sam import MobileSam
from models.nets.published_sam.open_published import PublishedNet, open_published
from models.nets.published_sam.parts import PIXEL_MEAN, PIXEL_STD
from models.nets.published_sam.sam2 import Sam2
from models.nets.published_sam.vit import OFFICIAL_SIZES, OfficialSam
from tests.support.segmenters import mobile_sam, official_sam, sam2

SAME_BOX_PX = 0.1

Prompts = tuple[torch.Tensor, torch.Tensor]
Encoded = list[torch.Tensor]


@dataclass(frozen=True)
class Reference:
    """Encodes an image [h,w,3], and decodes prompts on it to logits [P,3,4e,4e] and predicted IoU [P,3]."""

    encode: Callable[[npt.NDArray[np.uint8]], Encoded]
    decode: Callable[[Encoded, Prompts], tuple[torch.Tensor, torch.Tensor]]


def main(
    name: Annotated[str, typer.Argument(help="One of `weaksam weights list`.")],
    side_px: Annotated[int | None, typer.Option(help="Side of the input.", show_default="as published")] = None,
) -> None:
    """Print the largest differences, at two sizes of every dynamic axis."""
    rng = np.random.default_rng(5)
    with TemporaryDirectory() as folder:
        path, kind = Path(folder) / "net.pt", find_weights(name).kind
        _write_random(kind, side_px or 1024, path)
        net = open_published(path, side_px).net
        for plan in (sam_encoder_plan(net, rng), sam_decoder_plan(net, rng)):
            export_graph(plan, Path(folder), net.side_px)
        report = _compared(net, _reference(net, kind), Path(folder), rng)
    print(json.dumps({"name": name, "side_px": net.side_px, **report}))


def _write_random(kind: str, side_px: int, path: Path) -> None:
    if kind == "mobilesam":
        mobile_sam.write_mobile_sam(path, mobile_sam.random_mobile_sam(side_px))
    elif kind in OFFICIAL_SIZES:
        official_sam.write_small_checkpoint(path, OFFICIAL_SIZES[kind])
    else:
        sam2.write_sam2(path, sam2.random_sam2(kind, side_px))


def _reference(net: PublishedNet, kind: str) -> Reference:
    if isinstance(net, Sam2):
        return _of_transformers(sam2.reference_of(net, kind), net.side_px)
    if isinstance(net, MobileSam):
        return _of_sam(mobile_sam.reference_of(net))
    assert isinstance(net, OfficialSam)
    mean, std = list(PIXEL_MEAN), list(PIXEL_STD)
    return _of_sam(Sam(net.image_encoder, net.prompt_encoder, net.mask_decoder, mean, std).eval())


def _of_sam(model: Any) -> Reference:
    def encode(image_hwc_u8: npt.NDArray[np.uint8]) -> Encoded:
        pixels = torch.from_numpy(image_hwc_u8).permute(2, 0, 1)[None].float()
        return [model.image_encoder(model.preprocess(pixels))]

    def decode(encoded: Encoded, prompts: Prompts) -> tuple[torch.Tensor, torch.Tensor]:
        sparse, dense = model.prompt_encoder(points=prompts, boxes=None, masks=None)
        places = model.prompt_encoder.get_dense_pe()
        logits, iou = model.mask_decoder(encoded[0], places, sparse, dense, multimask_output=True)
        return logits, iou

    return Reference(encode, decode)


def _of_transformers(model: Any, side_px: int) -> Reference:
    mean, std = (torch.tensor(values).reshape(3, 1, 1) for values in (PIXEL_MEAN, PIXEL_STD))

    def encode(image_hwc_u8: npt.NDArray[np.uint8]) -> Encoded:
        height, width = image_hwc_u8.shape[:2]
        pixels = (torch.from_numpy(image_hwc_u8).permute(2, 0, 1) - mean) / std
        padded = torch.nn.functional.pad(pixels, (0, side_px - width, 0, side_px - height))
        fine_4, fine_8, embedding = model.get_image_embeddings(padded[None])
        return [embedding, fine_4, fine_8]

    def decode(encoded: Encoded, prompts: Prompts) -> tuple[torch.Tensor, torch.Tensor]:
        coords, labels = prompts
        embeddings = [encoded[1], encoded[2], encoded[0]]
        found = model(image_embeddings=embeddings, input_points=coords[None], input_labels=labels[None].int())
        return found.pred_masks[0], found.iou_scores[0]

    return Reference(encode, decode)


def _compared(net: PublishedNet, reference: Reference, folder: Path, rng: np.random.Generator) -> dict[str, float]:
    encoder, decoder = (onnxruntime.InferenceSession(folder / f"sam_{part}.onnx") for part in ("encoder", "decoder"))
    largest = {"embedding": 0.0, "iou": 0.0, "boxes_px": 0.0, "boxes_other_share": 0.0}
    squares = smooth_images(rng, 3, net.side_px)
    for images in (squares[:1, : net.side_px * 3 // 4], squares[1:, :, : net.side_px // 2]):
        letterbox = Letterbox(images.shape[1:3], net.side_px)
        padded = np.stack([letterbox.apply(image, net.fill_rgb) for image in images])
        found = encoder.run(list(net.feature_names), {"image": padded})
        for row, image in enumerate(images):
            with torch.inference_mode():
                wanted = reference.encode(image)
            for mine, theirs in zip(found, wanted, strict=True):
                largest["embedding"] = max(largest["embedding"], float(np.abs(mine[row] - theirs[0].numpy()).max()))
            features = {name: tensor[row : row + 1] for name, tensor in zip(net.feature_names, found, strict=True)}
            _compare_prompts(net, reference, wanted, decoder, features, letterbox.valid_hw, rng, largest)
    return {key: round(value, 6) for key, value in largest.items()}


def _compare_prompts(
    net: PublishedNet,
    reference: Reference,
    encoded: Encoded,
    decoder: onnxruntime.InferenceSession,
    features: dict[str, npt.NDArray[np.float32]],
    valid_hw: tuple[int, int],
    rng: np.random.Generator,
    largest: dict[str, float],
) -> None:
    for prompts, points in ((1, 4), (8, 1)):
        coords = torch.from_numpy((rng.random((prompts, points, 2)) * min(valid_hw)).astype(np.float32))
        labels = torch.ones(prompts, points)
        with torch.inference_mode():
            logits, wanted_iou = reference.decode(encoded, (coords, labels))
            valid = torch.tensor(valid_hw, dtype=torch.float32)
            wanted_boxes, _ = extents(logits, net.side_px / logits.shape[-1], valid)
        # Without a box the references add one point of padding.
        inputs = {
            "coords": np.concatenate([coords.numpy(), np.zeros((prompts, 1, 2), np.float32)], axis=1),
            "labels": np.concatenate([labels.numpy(), -np.ones((prompts, 1), np.float32)], axis=1),
            "valid_hw": valid.numpy(),
        }
        boxes, iou = decoder.run(["boxes", "iou"], features | inputs)
        apart_px = np.abs(boxes - wanted_boxes.numpy()).max(axis=-1)
        same = apart_px <= SAME_BOX_PX
        largest["iou"] = max(largest["iou"], float(np.abs(iou - wanted_iou.numpy()).max()))
        largest["boxes_px"] = max(largest["boxes_px"], float(apart_px[same].max(initial=0)))
        largest["boxes_other_share"] = max(largest["boxes_other_share"], float(1 - same.mean()))


if __name__ == "__main__":
    typer.run(main)
