"""The CNN CAM classifier, from tags alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from rich.progress import track
from safetensors.torch import load_file, save_file
from torch.nn import functional
from torch.utils.data import DataLoader

from models.labels import LabelSet
from models.labels_file import write_labels
from models.nets.cam import CnnCam, build_cnn_cam, smooth_max
from training.cam_report import report_cam
from training.data.tagged import TaggedImage
from training.engine import (
    JsonlLog,
    prepare_run,
    require_finite,
    resume_checkpoint,
    save_checkpoint,
    scheduled_lr,
    set_lr,
    start_fabric,
)
from training.tiles import CanvasPlan, TiledPhotographs


@dataclass(frozen=True)
class CamConfig:
    """Settings of `train_cam`: ``steps`` steps of ``batch`` canvases, a ``four_share`` of them 2x2.

    ``ground_weight`` and ``ground_share`` belong to `ground_loss`. ``backbone_lr_scale`` slows the pre-trained part.
    """

    backbone: str
    backbone_weights: str
    side_px: int
    steps: int
    batch: int
    four_share: float
    ground_weight: float
    ground_share: float
    lr: float
    backbone_lr_scale: float
    weight_decay: float
    warmup_steps: int
    precision: str
    seed: int
    loader_workers: int
    checkpoint_steps: int


def cut_tiles(maps: torch.Tensor, tiles: int) -> torch.Tensor:
    """Maps [B,C,e,e] of canvases with 1 or 4 tiles to [B*T,C,e/a,e/a], tiles in reading order."""
    across = round(tiles**0.5)
    batch, classes, side, _ = maps.shape
    cell = side // across
    grid = maps.reshape(batch, classes, across, cell, across, cell)
    return grid.permute(0, 2, 4, 1, 3, 5).reshape(batch * tiles, classes, cell, cell)


def ground_loss(maps: torch.Tensor, tags: torch.Tensor, ground_share: float) -> torch.Tensor:
    """Of each tagged class, the lowest ``ground_share`` of positions must say no.

    A photograph's ground covers most of it and looks alike everywhere. A classifier that reads the class off the
    ground cannot both fire and stay silent on it; one that reads it off the object can. So this contrast within one
    picture keeps maps on the object where each kind was filmed on its own ground.

    Args:
        maps: logits [T,C,h,w] of T tiles.
        tags: [T,C] zeros and ones.
    """
    tagged = maps.flatten(2).float()[tags > 0]  # [tags,h*w]
    lowest = tagged.topk(int(ground_share * tagged.shape[1]), dim=1, largest=False).values
    return functional.softplus(lowest).mean()


def cam_losses(maps: torch.Tensor, tags: torch.Tensor, sharpness: float, config: CamConfig) -> dict[str, torch.Tensor]:
    """Loss terms of canvases with maps [B,C,e,e] and tags [B,T,C] of their tiles."""
    tiles = cut_tiles(maps, tags.shape[1])
    tags = tags.flatten(0, 1)
    pooled = smooth_max(tiles, sharpness)
    entropy = functional.binary_cross_entropy_with_logits(pooled, tags, reduction="none")
    return {
        "loss_tags": entropy.sum(dim=1).mean(),
        "loss_ground": config.ground_weight * ground_loss(tiles, tags, config.ground_share),
    }


def train_cam(
    config: CamConfig, images: Sequence[TaggedImage], held_out: Sequence[TaggedImage], labels: LabelSet, out_dir: Path
) -> Path:
    """Train from the tags of ``images``, resuming a killed run; returns the checkpoint ``cam.safetensors``.

    Writes beside it the settings, ``labels.json``, ``log.jsonl`` and ``report.json`` on ``held_out``.
    """
    prepare_run(config, out_dir)
    write_labels(labels, out_dir / "labels.json")
    fabric = start_fabric(config.precision, config.seed)
    net = build_cnn_cam(config.backbone, len(labels), config.backbone_weights)
    net.features.to(memory_format=torch.channels_last)
    raw_optimizer = torch.optim.AdamW(_parameter_groups(net, config), lr=config.lr, weight_decay=config.weight_decay)
    done = resume_checkpoint(out_dir / "resume.pt", net, raw_optimizer)
    model, optimizer = fabric.setup(net, raw_optimizer)
    plan = CanvasPlan(config.side_px, config.batch, config.four_share, config.seed)
    indices = range(done * config.batch, config.steps * config.batch)
    loader = DataLoader(
        TiledPhotographs(images, labels, plan, indices), config.batch, num_workers=config.loader_workers
    )
    batches = fabric.setup_dataloaders(loader)
    log = JsonlLog(out_dir / "log.jsonl")
    model.train()
    for step, batch in zip(range(done, config.steps), track(batches, "CAM classifier"), strict=True):
        set_lr(optimizer, scheduled_lr(config.lr, step, config.steps, config.warmup_steps))
        losses = _train_step(fabric, model, optimizer, batch, config)
        require_finite(losses, step)
        if step % 20 == 0:
            log.write(step=step, **{name: loss.item() for name, loss in losses.items()})
        if (step + 1) % config.checkpoint_steps == 0:
            save_checkpoint(out_dir / "resume.pt", net, raw_optimizer, step + 1)
    checkpoint = out_dir / "cam.safetensors"
    save_file({key: value.contiguous() for key, value in net.state_dict().items()}, checkpoint)
    report_cam(net.eval(), held_out, labels, config.side_px, out_dir / "report.json")
    return checkpoint


def _parameter_groups(net: CnnCam, config: CamConfig) -> list[dict[str, Any]]:
    backbone = list(net.features.backbone.parameters())
    pretrained = {id(parameter) for parameter in backbone}
    fresh = [parameter for parameter in net.parameters() if id(parameter) not in pretrained]
    return [{"params": backbone, "lr_scale": config.backbone_lr_scale}, {"params": fresh}]


def _train_step(
    fabric: Any, model: Any, optimizer: Any, batch: dict[str, torch.Tensor], config: CamConfig
) -> dict[str, torch.Tensor]:
    _, maps = model(batch["image"])
    losses = cam_losses(maps, batch["tags"], model.sharpness, config)
    optimizer.zero_grad()
    fabric.backward(sum(losses.values()))
    fabric.clip_gradients(model, optimizer, max_norm=5.0)
    optimizer.step()
    return losses


def load_cnn_cam(checkpoint: Path, backbone: str, classes: int) -> CnnCam:
    """The trained network in evaluation mode; raises RuntimeError where the file is of another network."""
    net = build_cnn_cam(backbone, classes)
    net.load_state_dict(load_file(checkpoint))
    return net.eval()
