"""The classifier whose maps say where tags are, CNN CAM or WeakTr, from tags alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch.utils.data import DataLoader

from models.labels import LabelSet
from models.labels_file import write_labels
from models.nets.cam import CnnCam
from models.nets.cam_nets import Architecture, CamNet, build_cam
from models.nets.weaktr import WeakTrSettings
from training.classifier.losses import cnn_losses, weaktr_losses
from training.classifier.report import report_cam
from training.data.tagged import TaggedImage
from training.data.tiles import CanvasPlan, TiledPhotographs
from training.runs.engine import (
    JsonlLog,
    Precision,
    optimise,
    prepare_run,
    resume_checkpoint,
    save_checkpoint,
    scheduled_lr,
    set_lr,
    share_of_batch,
    start_fabric,
)
from training.runs.inputs import pictures_digest
from training.runs.ranks import is_first_rank, track_first, wait_for_ranks

MOST_GRADIENT_NORM = 5.0


@dataclass(frozen=True)
class CamConfig:
    """Settings of `train_cam`: ``steps`` steps of ``batch`` canvases, a ``four_share`` of them 2x2.

    ``ground_weight`` and ``ground_share`` belong to `ground_loss`. ``backbone_lr_scale`` slows the pre-trained part.
    ``weaktr`` belongs to the architecture of that name, see `WeakTrSettings`.
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
    precision: Precision
    seed: int
    loader_workers: int
    checkpoint_steps: int
    architecture: Architecture = "cnn"
    weaktr: WeakTrSettings = field(default_factory=WeakTrSettings)

    def __post_init__(self) -> None:
        if not 0 < self.ground_share <= 1:
            raise ValueError(f"ground_share: must be above 0, at most 1, got {self.ground_share}")


def train_cam(
    config: CamConfig, images: Sequence[TaggedImage], held_out: Sequence[TaggedImage], labels: LabelSet, out_dir: Path
) -> Path:
    """Train from the tags of ``images``, resuming a killed run; returns the checkpoint ``cam.safetensors``.

    Writes beside it the settings, ``labels.json``, ``log.jsonl`` and ``report.json`` on ``held_out``. Under
    ``torchrun`` each rank takes its share of every batch.

    Raises:
        ValueError: settings that do not fit together, or a single class.
    """
    if len(labels) < 2:
        raise ValueError(
            f"labels: {', '.join(labels.names)} is the only one, and nothing tells a thing from its surroundings where "
            "every picture has it: add pictures of other things with tags of their own"
        )
    fabric = start_fabric(config.precision, config.seed)
    net = _build(config, len(labels))
    if is_first_rank():
        prepare_run(config, out_dir, {"pictures": pictures_digest(images, labels)})
        write_labels(labels, out_dir / "labels.json")
    raw_optimizer = torch.optim.AdamW(_parameter_groups(net, config), lr=config.lr, weight_decay=config.weight_decay)
    model, optimizer = fabric.setup(net, raw_optimizer)
    done = resume_checkpoint(out_dir / "resume.pt", net, raw_optimizer)
    plan = CanvasPlan(config.side_px, config.batch, config.four_share, config.seed)
    indices = range(done * config.batch, config.steps * config.batch)
    canvases = TiledPhotographs(images, labels, plan, indices)
    loader = DataLoader(canvases, share_of_batch(config.batch, "batch"), num_workers=config.loader_workers)
    batches = fabric.setup_dataloaders(loader)
    log = JsonlLog(out_dir / "log.jsonl")
    model.train()
    for step, batch in zip(range(done, config.steps), track_first(batches, "CAM classifier"), strict=True):
        set_lr(optimizer, scheduled_lr(config.lr, step, config.steps, config.warmup_steps))
        losses = _losses(model, batch, config)
        optimise(fabric, model, optimizer, losses, step, MOST_GRADIENT_NORM)
        if step % 20 == 0:
            log.write(step=step, **{name: loss.item() for name, loss in losses.items()})
        if (step + 1) % config.checkpoint_steps == 0:
            save_checkpoint(out_dir / "resume.pt", net, raw_optimizer, step + 1)
    checkpoint = out_dir / "cam.safetensors"
    if is_first_rank():
        save_file({key: value.contiguous() for key, value in net.state_dict().items()}, checkpoint)
        report_cam(net.eval(), held_out, labels, config.side_px, out_dir / "report.json")
    wait_for_ranks()
    return checkpoint


def _build(config: CamConfig, classes: int) -> CamNet:
    net = build_cam(
        config.architecture, config.backbone, classes, config.side_px, config.weaktr, config.backbone_weights
    )
    tiles_px = 2 * net.stride_px
    if config.four_share > 0 and config.side_px % tiles_px:
        raise ValueError(f"side_px is {config.side_px}: canvases of 2x2 (four_share) take multiples of {tiles_px}")
    if isinstance(net, CnnCam):
        net.features.to(memory_format=torch.channels_last)
    return net


def _parameter_groups(net: CamNet, config: CamConfig) -> list[dict[str, Any]]:
    backbone = net.backbone_parameters()
    pretrained = {id(parameter) for parameter in backbone}
    fresh = [parameter for parameter in net.parameters() if id(parameter) not in pretrained]
    return [{"params": backbone, "lr_scale": config.backbone_lr_scale}, {"params": fresh}]


def _losses(model: Any, batch: dict[str, torch.Tensor], config: CamConfig) -> dict[str, torch.Tensor]:
    output, tags = model(batch["image"]), batch["tags"]
    if config.architecture == "weaktr":
        return weaktr_losses(output, tags, config.weaktr.sharpness, config.ground_weight, config.ground_share)
    return cnn_losses(output[1], tags, model.sharpness, config.ground_weight, config.ground_share)
