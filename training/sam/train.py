"""Class-agnostic pre-training of the compact SAM on generated pictures."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import torch
from safetensors.torch import load_file
from torch import nn
from torch.nn import functional
from torch.utils.data import DataLoader, Dataset

from models.nets.backbone import MEAN_RGB
from models.nets.compact_sam import CompactSam, build_compact_sam
from models.nets.many_prompts import decode_many
from training.runs.checkpoints import save_weights
from training.runs.devices import Precision, start_fabric
from training.runs.fit import StepOutput, Task, fit
from training.runs.ranks import share_of_batch, wait_for_ranks
from training.runs.run_folder import prepare_run
from training.sam.initial_weights import load_initial_weights
from training.scenes.shapes_image import draw_shapes_image

MASK_STRIDE_PX = 2
GROUP_POINTS = 3
MAX_GRADIENT_NORM = 1.0
LOG_STEPS = 20
FOCAL_GAMMA = 2.0
# Cells added to an object's area before its focal loss is divided by it, or specks would count most of all.
AREA_OFFSET = 128.0
# Of a single point's loss, the share that all levels have, not the best alone.
SHARED_LOSS = 0.1
# Which level is ranked first decides as much as how good the levels are.
LOSS_WEIGHTS = {"loss_iou": 4.0}
# A picture is drawn this much larger than it is learnt and then shrunk, as photographs are when they are letterboxed.
SHRINKS = (1.0, 1.0, 1.5, 2.0)


@dataclass(frozen=True)
class SamConfig:
    """Settings of `train_sam`; `steps` optimiser steps of `batch_images` pictures of `side_px` pixels.

    ``initial`` is a checkpoint or a bundle to go on from, at any ``side_px``: no weight depends on the size.
    ``loss_weights`` win over `LOSS_WEIGHTS`, term by term.
    """

    backbone: str
    backbone_weights: str
    side_px: int
    steps: int
    batch_images: int
    prompts_per_image: int
    point_share: float
    group_share: float
    lr: float
    weight_decay: float
    warmup_steps: int
    precision: Precision
    seed: int
    loader_workers: int
    checkpoint_steps: int
    initial: Path | None = None
    loss_weights: dict[str, float] = field(default_factory=dict)


class PromptedShapes(Dataset[dict[str, torch.Tensor]]):
    """Picture number i with prompts and their masks, a function of the seed and i alone."""

    def __init__(self, config: SamConfig, indices: range) -> None:
        self._config = config
        self._indices = indices

    def __len__(self) -> int:
        return len(self._indices)

    def __getitem__(self, item: int) -> dict[str, torch.Tensor]:
        config, index = self._config, self._indices[item]
        # One rule for the whole batch: prompts of one batch must agree in their number of points.
        rng_batch = np.random.default_rng([config.seed, index // config.batch_images])
        grouped = rng_batch.random() < config.group_share
        rng = np.random.default_rng([config.seed, 1, index])
        image_hwc_u8, masks = _padded_picture(rng, config.side_px)
        chosen = masks[rng.integers(len(masks), size=config.prompts_per_image)]
        sample = sample_group if grouped else (lambda rng, mask: sample_prompt(rng, mask, config.point_share))
        prompts = [sample(rng, mask) for mask in chosen]
        targets = np.stack([_shrink_mask(mask, config.side_px // MASK_STRIDE_PX) for mask in chosen])
        scale = np.float32(config.side_px / masks.shape[-1])
        return {
            "image": torch.from_numpy(image_hwc_u8),
            "coords": torch.from_numpy(scale * np.stack([coords for coords, _ in prompts])),
            "labels": torch.from_numpy(np.stack([labels for _, labels in prompts])),
            "masks": torch.from_numpy(targets),
        }


def _padded_picture(rng: np.random.Generator, side_px: int) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.bool_]]:
    """A picture [S,S,3] with at least one object; one in four is not square, so that padding is known.

    The masks [N,T,T] are those of the picture as it was drawn, T up to twice S.
    """
    while True:
        shrink = SHRINKS[rng.integers(len(SHRINKS))]
        short_px = side_px if rng.random() < 0.75 else 4 * int(rng.integers(side_px // 8, side_px // 4))
        size_hw = (side_px, short_px) if rng.random() < 0.5 else (short_px, side_px)
        drawn_hw = (round(size_hw[0] * shrink), round(size_hw[1] * shrink))
        drawn_hwc_u8, masks = draw_shapes_image(rng, drawn_hw)
        if len(masks):
            break
    padded = np.full((side_px, side_px, 3), MEAN_RGB, np.uint8)
    padded[: size_hw[0], : size_hw[1]] = cv2.resize(drawn_hwc_u8, size_hw[::-1], interpolation=cv2.INTER_AREA)
    drawn_side = round(side_px * shrink)
    return padded, np.pad(masks, ((0, 0), (0, drawn_side - drawn_hw[0]), (0, drawn_side - drawn_hw[1])))


def sample_prompt(
    rng: np.random.Generator, mask_hw: npt.NDArray[np.bool_], point_share: float
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    """One point and a padding row, or a jittered box: coords [2,2] x, y in pixels and labels [2]."""
    if rng.random() < point_share:
        point_xy = interior_points(rng, mask_hw, 1)[0]
        return np.array([point_xy, (0, 0)], np.float32), np.array([1, -1], np.float32)
    rows, columns = np.flatnonzero(mask_hw.any(1)), np.flatnonzero(mask_hw.any(0))
    corners = np.array([[columns[0], rows[0]], [columns[-1] + 1, rows[-1] + 1]], np.float32)
    jitter = rng.normal(0, 0.06, (2, 2)) * (corners[1] - corners[0])
    moved = np.clip(corners + np.clip(jitter, -12, 12), 0, mask_hw.shape[::-1])
    return moved.astype(np.float32), np.array([2, 3], np.float32)


def sample_group(
    rng: np.random.Generator, mask_hw: npt.NDArray[np.bool_]
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    """Several points of one object: coords [3,2] x, y in pixels and labels [3]."""
    return interior_points(rng, mask_hw, GROUP_POINTS), np.ones(GROUP_POINTS, np.float32)


def interior_points(rng: np.random.Generator, mask_hw: npt.NDArray[np.bool_], count: int) -> npt.NDArray[np.float32]:
    """Random points [count,2] of a mask [H,W], x, y in its pixels: that of row 0 and column 0 reaches from 0 to 1."""
    # Half of the prompts lie well inside, as class activation peaks do; the others anywhere, as grid points do.
    depth = cv2.distanceTransform(np.pad(mask_hw.astype(np.uint8), 1), cv2.DIST_L2, 3)[1:-1, 1:-1]
    least = 0.5 * depth.max() if rng.random() < 0.5 else 0.0
    rows, columns = np.nonzero(mask_hw & (depth >= least))
    picked = rng.integers(len(rows), size=count)
    jittered_xy = np.stack([columns[picked], rows[picked]], axis=1) + rng.random((count, 2))
    return np.asarray(jittered_xy, np.float32)


def _shrink_mask(mask_hw: npt.NDArray[np.bool_], cells: int) -> npt.NDArray[np.float32]:
    """Share of each of ``cells`` x ``cells`` that a square mask covers: soft targets place an edge between cells."""
    return np.asarray(cv2.resize(mask_hw.astype(np.float32), (cells, cells), interpolation=cv2.INTER_AREA), np.float32)


def sam_losses(
    logits: torch.Tensor, predicted_iou: torch.Tensor, masks: torch.Tensor, ambiguous: torch.Tensor
) -> dict[str, torch.Tensor]:
    """Losses after Segment Anything (arXiv 2304.02643, appendix A).

    A single point may mean a part or the whole, so that the best of the three levels learns; a box or several points
    mean one thing, so that all do. Unlike there the focal loss is divided by the object's area instead of the
    picture's: things of a few pixels count as much as large ones.

    Args:
        logits: [P,3,h,w] mask logits.
        predicted_iou: [P,3].
        masks: [P,h,w] covered share of each cell, 0 to 1.
        ambiguous: bool [P], the prompts of which only the best level learns.
    """
    target = masks[:, None].expand_as(logits)
    probability = logits.sigmoid()
    entropy = functional.binary_cross_entropy_with_logits(logits, target, reduction="none")
    area = target.sum((2, 3))
    focal = ((probability - target).abs() ** FOCAL_GAMMA * entropy).sum((2, 3)) / (area + AREA_OFFSET)  # [P,3]
    overlap = (probability * target).sum((2, 3))
    dice = 1 - (2 * overlap + 1) / (probability.sum((2, 3)) + area + 1)
    levels = logits.shape[1]
    best = functional.one_hot((focal + dice).argmin(dim=1), levels)
    even = torch.full_like(focal, 1 / levels)
    weights = torch.where(ambiguous[:, None], best + SHARED_LOSS * (even - best), even)
    with torch.no_grad():
        inside, wanted = logits > 0, target > 0.5
        intersection = (inside & wanted).sum((2, 3)).float()
        true_iou = intersection / (inside | wanted).sum((2, 3)).clamp(min=1)
    return {
        "loss_focal": (weights * focal).sum(dim=1).mean(),
        "loss_dice": (weights * dice).sum(dim=1).mean(),
        "loss_iou": functional.mse_loss(predicted_iou, true_iou),
    }


class SamLosses(nn.Module):
    """The network with its loss in one forward pass, which is what gradients are averaged over ranks around."""

    def __init__(self, net: CompactSam) -> None:
        super().__init__()
        self.net = net

    def forward(self, batch: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        """Losses of a batch as `PromptedShapes` makes it."""
        net = self.net
        embeddings = net.encode(batch["image"])
        answers = [
            decode_many(net.prompt_encoder, net.mask_decoder, embeddings[i : i + 1], coords, labels)
            for i, (coords, labels) in enumerate(zip(batch["coords"], batch["labels"], strict=True))
        ]
        logits = torch.cat([logits for logits, _ in answers]).float()
        predicted_iou = torch.cat([iou for _, iou in answers]).float()
        # A point and a row of padding; the other prompts are two corners, or three points.
        ambiguous = (batch["labels"] == -1).any(dim=2).flatten()
        return sam_losses(logits, predicted_iou, batch["masks"].flatten(0, 1), ambiguous)


def train_sam(config: SamConfig, out_dir: Path) -> Path:
    """Train, resuming a killed run; returns the checkpoint ``sam.safetensors`` beside its settings and log.

    Under ``torchrun`` each rank takes its share of every batch; batch normalisation sees that share alone.
    """
    fabric = start_fabric(config.precision, config.seed)
    prepare_run(config, out_dir)
    net = build_compact_sam(config.backbone, config.side_px, config.backbone_weights)
    if config.initial is not None:
        load_initial_weights(net, config.initial)
    net.image_encoder.to(memory_format=torch.channels_last)
    task = Task(
        name="compact SAM",
        net=net,
        module=SamLosses(net),
        optimizer=torch.optim.AdamW(net.parameters(), lr=config.lr, weight_decay=config.weight_decay),
        steps=config.steps,
        batches=lambda done: fabric.setup_dataloaders(_loader(config, done)),
        compute=_compute,
        loss_weights={**LOSS_WEIGHTS, **config.loss_weights},
        max_gradient_norm=MAX_GRADIENT_NORM,
        log_steps=LOG_STEPS,
    )
    fit(fabric, task, config, out_dir)
    checkpoint = out_dir / "sam.safetensors"
    save_weights(net, checkpoint)
    wait_for_ranks()
    return checkpoint


def _compute(model: Any, batch: dict[str, torch.Tensor], _: int) -> StepOutput:
    return StepOutput(model(batch))


def _loader(config: SamConfig, done: int) -> DataLoader[dict[str, torch.Tensor]]:
    share = share_of_batch(config.batch_images, "batch_images")
    first, last = done * config.batch_images, config.steps * config.batch_images
    pictures = PromptedShapes(config, range(first, last))
    return DataLoader(pictures, share, num_workers=config.loader_workers)


def load_compact_sam(checkpoint: Path, backbone: str, side_px: int) -> CompactSam:
    """The trained network in evaluation mode; raises RuntimeError where the file is of another network."""
    net = build_compact_sam(backbone, side_px)
    net.load_state_dict(load_file(checkpoint))
    return net.eval()
