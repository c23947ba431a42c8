"""What to trace each network with, and what to check it on."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt
import torch

from deploy.export.onnx_graph import GraphPlan
from models.bundle import CAM, SAM_BOXES, SAM_DECODER, SAM_ENCODER, WSOD
from models.nets.cam_nets import AveragedCam, CamNet
from models.nets.compact_sam import CompactSam
from models.nets.graphs import (
    CamGraph,
    FineDecoderGraph,
    Sam,
    SamBoxesGraph,
    SamDecoderGraph,
    SamEncoderGraph,
    WsodGraph,
)
from models.nets.wsod import Wsod

Rng = np.random.Generator
BOX_OUTPUTS = ("boxes", "iou", "stability")
BOX_TOLERANCE = 0.005  # of the largest coordinate: 2 pixels of 384


def cam_plan(net: CamNet | AveragedCam, side_px: int, rng: Rng, name: str = CAM) -> GraphPlan:
    return GraphPlan(
        name=name,
        module=CamGraph(net),
        output_names=("scores", "maps"),
        trace={"image": smooth_images(rng, 2, side_px)},
        checks=[{"image": smooth_images(rng, count, side_px)} for count in (1, 3)],
        axes={tensor: {0: "B"} for tensor in ("image", "scores", "maps")},
    )


def sam_encoder_plan(net: Sam, rng: Rng) -> GraphPlan:
    module = SamEncoderGraph(net)
    outputs = (*net.feature_names, "prompt_map") if module.has_prompt_map else net.feature_names
    # An image of 1024 pixels takes ViT-B 10 s and gigabytes, so as few as tell a dynamic axis from a fixed one.
    return GraphPlan(
        name=SAM_ENCODER,
        module=module,
        output_names=outputs,
        fill_rgb=net.fill_rgb,
        trace={"image": smooth_images(rng, 1, net.side_px)},
        checks=[{"image": smooth_images(rng, count, net.side_px)} for count in (1, 2)],
        axes={name: {0: "B"} for name in ("image", *outputs)},
    )


def sam_decoder_plan(net: Sam, rng: Rng) -> GraphPlan:
    graph = SamDecoderGraph if len(net.feature_names) == 1 else FineDecoderGraph
    additions = (net.geometry, net.quality) if isinstance(net, CompactSam) else ()
    module = graph(net.prompt_encoder, net.mask_decoder, net.side_px, *additions)
    return _decoder_plan(SAM_DECODER, module, (*BOX_OUTPUTS, "logits"), net, rng)


def sam_boxes_plan(net: CompactSam, rng: Rng) -> GraphPlan:
    module = SamBoxesGraph(net.prompt_encoder, net.mask_decoder, net.side_px, net.geometry, net.quality)
    return _decoder_plan(SAM_BOXES, module, BOX_OUTPUTS, net, rng)


def _decoder_plan(name: str, module: SamDecoderGraph, outputs: tuple[str, ...], net: Sam, rng: Rng) -> GraphPlan:
    with torch.inference_mode():
        encoded = net.encode(torch.from_numpy(smooth_images(rng, 1, net.side_px)))
    tensors = encoded if isinstance(encoded, tuple) else (encoded,)
    features = {name: tensor.numpy() for name, tensor in zip(net.feature_names, tensors, strict=True)}
    return GraphPlan(
        name=name,
        module=module,
        output_names=outputs,
        fill_rgb=net.fill_rgb,
        trace=_prompts(features, net.side_px, rng, prompts=3, points=2),
        checks=[
            _prompts(features, net.side_px, rng, prompts=1, points=5),
            _prompts(features, net.side_px, rng, prompts=8, points=2),
        ],
        axes={name: {0: "P"} for name in outputs} | {name: {0: "P", 1: "N"} for name in ("coords", "labels")},
        tolerances={"boxes": BOX_TOLERANCE},
        stepping=("boxes", "stability"),
    )


def wsod_plan(net: Wsod, side_px: int, rng: Rng) -> GraphPlan:
    return GraphPlan(
        name=WSOD,
        module=WsodGraph(net),
        output_names=("scores", "deltas"),
        trace=_boxes(rng, side_px, images=2, boxes=7),
        checks=[_boxes(rng, side_px, images=1, boxes=32), _boxes(rng, side_px, images=3, boxes=5)],
        axes={"image": {0: "B"}} | {name: {0: "B", 1: "P"} for name in ("boxes", "valid", "scores", "deltas")},
    )


def smooth_images(rng: Rng, count: int, side_px: int) -> npt.NDArray[np.uint8]:
    """Return random colour clouds [count,S,S,3]: noise pixel by pixel would be like no photograph."""
    clouds = [
        cv2.resize(rng.random((9, 9, 3)), (side_px, side_px), interpolation=cv2.INTER_CUBIC) for _ in range(count)
    ]
    grain = rng.normal(0, 6, (count, side_px, side_px, 3))
    return np.clip(np.stack(clouds) * 255 + grain, 0, 255).astype(np.uint8)


def _prompts(
    features: dict[str, npt.NDArray[np.generic]], side_px: int, rng: Rng, prompts: int, points: int
) -> dict[str, npt.NDArray[np.generic]]:
    return {
        **features,
        "coords": (rng.random((prompts, points, 2)) * side_px).astype(np.float32),
        "labels": rng.integers(-1, 4, (prompts, points)).astype(np.float32),
        "valid_hw": np.array([side_px, round(side_px * 0.7)], np.float32),
    }


def _boxes(rng: Rng, side_px: int, images: int, boxes: int) -> dict[str, npt.NDArray[np.generic]]:
    corners = np.sort(rng.random((images, boxes, 2, 2)) * side_px, axis=2)
    valid = np.ones((images, boxes), np.float32)
    valid[:, -1] = 0  # padding, which no softmax over proposals may see
    return {
        "image": smooth_images(rng, images, side_px),
        "boxes": corners.reshape(images, boxes, 4).astype(np.float32),
        "valid": valid,
    }
