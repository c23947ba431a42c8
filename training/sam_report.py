"""Mask quality of a compact SAM on objects with true masks, by object size."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from rich.progress import track

from models.image import read_image
from models.letterbox import Letterbox
from models.masks import decode_rle, mask_box, mask_iou
from models.nets.backbone import MEAN_RGB
from models.nets.compact_sam import CompactSam, decode_prompts
from models.prompts import PromptBatch, box_prompts, point_prompts
from training.data.tagged import TaggedImage
from training.sam_prompts import interior_points
from training.train_sam import load_compact_sam

REPORT_SEED = 11
# COCO's bounds of small, medium and large, in square pixels of the picture.
SIZES = {"small": (0, 32**2), "medium": (32**2, 96**2), "large": (96**2, float("inf"))}

Mask = npt.NDArray[np.bool_]


def report_sam(run: Path, images: Sequence[TaggedImage], out: Path) -> None:
    """Write mIoU of the mask ranked first and of the best level, from boxes and interior points, as JSON."""
    config = json.loads((run / "config.json").read_text(encoding="utf-8"))
    net = load_compact_sam(run / "sam.safetensors", config["backbone"], config["side_px"])
    rows = [row for image in track(images, "SAM report") for row in measure_picture(net, image)]
    report = {size: _summary([row for row in rows if low <= row["area"] < high]) for size, (low, high) in SIZES.items()}
    out.write_text(json.dumps(report | {"all": _summary(rows)}, indent=1) + "\n", encoding="utf-8")


def measure_picture(net: CompactSam, image: TaggedImage) -> list[dict[str, float]]:
    """For each object with a mask its area in pixels and the IoU of the answers to its box and to an interior point."""
    masks = [decode_rle(true.mask_rle) for true in image.objects if true.mask_rle is not None]
    masks = [mask for mask in masks if mask.any()]
    if not masks:
        return []
    letterbox = Letterbox(image.size_hw, net.side_px)
    square = letterbox.apply(read_image(image.path), MEAN_RGB)
    rng = np.random.default_rng(REPORT_SEED)
    boxes = letterbox.boxes_to_input(np.stack([mask_box(mask) for mask in masks]))
    inside = np.concatenate([interior_points(rng, mask, 1) for mask in masks])
    points = letterbox.points_to_input(inside)
    with torch.inference_mode():
        embedding = net.encode(torch.from_numpy(square)[None])
        by_box = _ious(net, embedding, box_prompts(boxes), masks, letterbox)
        by_point = _ious(net, embedding, point_prompts(points), masks, letterbox)
    return [
        {"area": float(mask.sum()), "box": box[0], "box_best": box[1], "point": point[0], "point_best": point[1]}
        for mask, box, point in zip(masks, by_box, by_point, strict=True)
    ]


def _ious(
    net: CompactSam, embedding: torch.Tensor, prompts: PromptBatch, masks: Sequence[Mask], letterbox: Letterbox
) -> list[tuple[float, float]]:
    """For each prompt the IoU of the mask it ranks first, and of its best mask."""
    coords, labels = torch.from_numpy(prompts.coords), torch.from_numpy(prompts.labels)
    logits, predicted = decode_prompts(net.prompt_encoder, net.mask_decoder, embedding, coords, labels)
    answers = []
    for levels, first, mask in zip(logits.numpy(), predicted.argmax(1).tolist(), masks, strict=True):
        ious = [mask_iou(letterbox.mask_to_image(level), mask) for level in levels]
        answers.append((ious[first], max(ious)))
    return answers


def _summary(rows: Sequence[dict[str, float]]) -> dict[str, float | int | None]:
    means = {
        f"{prompt}_miou{'_best_level' if suffix else ''}": round(
            float(np.mean([row[prompt + suffix] for row in rows])), 4
        )
        if rows
        else None
        for prompt in ("box", "point")
        for suffix in ("", "_best")
    }
    return {"objects": len(rows), **means}
