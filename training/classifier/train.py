"""The classifier whose maps say where tags are, CNN CAM or WeakTr, from tags alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch.utils.data import DataLoader

from models.labels import LabelSet
from models.nets.cam import CnnCam
from models.nets.cam_nets import Architecture, CamNet, build_cam
from models.nets.weaktr import WeakTrSettings
from models.run_folder import REPORT
from training.classifier.losses import cnn_losses, weaktr_losses
from training.classifier.report import report_cam
from training.data.tagged import TaggedImage
from training.data.tiles import MosaicPlan, TiledImages
from training.runs.checkpoints import save_weights
from training.runs.devices import Precision, start_fabric
from training.runs.fit import StepOutput, Task, fit
from training.runs.inputs import images_digest
from training.runs.ranks import is_first_rank, share_of_batch, wait_for_ranks
from training.runs.run_folder import prepare_run

MAX_GRADIENT_NORM = 5.0
LOG_STEPS = 20


@dataclass(frozen=True)
class CamConfig:
    """Settings of `train_cam`.

    Attributes:
        backbone: a timm model.
        backbone_weights: as `models.nets.backbone.create_backbone` takes them.
        side_px: side of the square input.
        steps, batch: optimiser steps, and inputs of each.
        mosaic_prob: share of the batches whose inputs are 2x2 mosaics.
        background_share: see `background_loss`.
        backbone_lr_scale: slows the pre-trained part.
        loss_weights: of loss terms by their names in the log; a term that is not named counts 1.
        weaktr: for the architecture of that name.
    """

    backbone: str
    backbone_weights: str
    side_px: int
    steps: int
    batch: int
    mosaic_prob: float
    background_share: float
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
    loss_weights: dict[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not 0 < self.background_share <= 1:
            raise ValueError(f"background_share: must be above 0, at most 1, got {self.background_share}")


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
    prepare_run(config, out_dir, {"images": images_digest(images, labels)}, labels)
    task = Task(
        name="CAM classifier",
        net=net,
        module=net,
        optimizer=torch.optim.AdamW(_parameter_groups(net, config), lr=config.lr, weight_decay=config.weight_decay),
        steps=config.steps,
        batches=lambda done: fabric.setup_dataloaders(_loader(config, images, labels, done)),
        compute=partial(_compute, config),
        loss_weights=config.loss_weights,
        max_gradient_norm=MAX_GRADIENT_NORM,
        log_steps=LOG_STEPS,
    )
    fit(fabric, task, config, out_dir)
    checkpoint = out_dir / "cam.safetensors"
    save_weights(net, checkpoint)
    if is_first_rank():
        report_cam(net.eval(), held_out, labels, config.side_px, out_dir / REPORT)
    wait_for_ranks()
    return checkpoint


def _loader(
    config: CamConfig, images: Sequence[TaggedImage], labels: LabelSet, done: int
) -> DataLoader[dict[str, torch.Tensor]]:
    plan = MosaicPlan(config.side_px, config.batch, config.mosaic_prob, config.seed)
    indices = range(done * config.batch, config.steps * config.batch)
    canvases = TiledImages(images, labels, plan, indices)
    return DataLoader(canvases, share_of_batch(config.batch, "batch"), num_workers=config.loader_workers)


def _build(config: CamConfig, classes: int) -> CamNet:
    net = build_cam(
        config.architecture, config.backbone, classes, config.side_px, config.weaktr, config.backbone_weights
    )
    tiles_px = 2 * net.stride_px
    if config.mosaic_prob > 0 and config.side_px % tiles_px:
        raise ValueError(f"side_px is {config.side_px}: canvases of 2x2 (mosaic_prob) take multiples of {tiles_px}")
    if isinstance(net, CnnCam):
        net.features.to(memory_format=torch.channels_last)
    return net


def _parameter_groups(net: CamNet, config: CamConfig) -> list[dict[str, Any]]:
    backbone = net.backbone_parameters()
    pretrained = {id(parameter) for parameter in backbone}
    fresh = [parameter for parameter in net.parameters() if id(parameter) not in pretrained]
    return [{"params": backbone, "lr_scale": config.backbone_lr_scale}, {"params": fresh}]


def _compute(config: CamConfig, model: Any, batch: dict[str, torch.Tensor], _: int) -> StepOutput:
    output, tags = model(batch["image"]), batch["tags"]
    if config.architecture == "weaktr":
        return StepOutput(weaktr_losses(output, tags, config.weaktr.inverse_temperature, config.background_share))
    return StepOutput(cnn_losses(output[1], tags, model.inverse_temperature, config.background_share))
