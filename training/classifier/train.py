"""The classifier whose maps say where tags are, CNN CAM or WeakTr, from tags alone."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch.utils.data import DataLoader

from models.bundle import CAM
from models.labels import LabelSet
from models.nets.cam import INVERSE_TEMPERATURE, CnnCam
from models.nets.cam_nets import CamNet, build_cam
from models.run_folder import REPORT, weights_file
from training.classifier.config import CamConfig
from training.classifier.losses import cnn_losses, weaktr_losses
from training.classifier.objectness import Objectness, load_objectness
from training.classifier.report import report_cam
from training.data.tagged import TaggedImage
from training.data.tiles import MosaicPlan, TiledImages
from training.runs.checkpoints import save_weights
from training.runs.devices import start_fabric
from training.runs.fit import StepOutput, Task, fit
from training.runs.inputs import images_digest, segmenter_digest
from training.runs.ranks import is_first_rank, share_of_batch, wait_for_ranks
from training.runs.run_folder import prepare_run
from training.runs.schedule import parameter_groups
from weaksam.errors import UserError

MAX_GRADIENT_NORM = 5.0
LOG_STEPS = 20


def train_cam(
    config: CamConfig, images: Sequence[TaggedImage], held_out: Sequence[TaggedImage], labels: LabelSet, out_dir: Path
) -> Path:
    """Train from the tags of ``images``, resuming a killed run, and return the checkpoint ``cam.safetensors``.

    Writes the files of a run's folder, and ``report.json`` on ``held_out``. Over several ranks each takes its share
    of every batch.

    Raises:
        UserError: settings that do not fit together, or a single class that every image has.
    """
    if len(labels) < 2 and all(image.tags for image in images):
        raise UserError(
            f"labels: {', '.join(labels.names)} is the only one, and every image has it: nothing tells the object from "
            "its background. Add images without it (an empty tags cell, or a label named in data.background)"
        )
    fabric = start_fabric(config.precision, config.seed)
    net = _build(config, len(labels))
    objectness = load_objectness(config.objectness_from, fabric.device) if config.objectness_from else None
    inputs = {"images": images_digest(images, labels)}
    if config.objectness_from:
        inputs["segmenter weights"] = segmenter_digest(config.objectness_from, "objectness_from")
    prepare_run(config, out_dir, inputs, labels)
    groups = parameter_groups(net, net.backbone_parameters(), config.backbone_lr_scale)
    task = Task(
        name="CAM classifier",
        net=net,
        module=net,
        optimizer=torch.optim.AdamW(groups, lr=config.lr, weight_decay=config.weight_decay),
        steps=config.steps,
        batches=lambda done: fabric.setup_dataloaders(_loader(config, images, labels, done)),
        compute=partial(_compute, config, objectness),
        loss_terms=config.loss_terms,
        loss_weights=config.loss_weights,
        max_gradient_norm=MAX_GRADIENT_NORM,
        log_steps=LOG_STEPS,
    )
    fit(fabric, task, config, out_dir)
    checkpoint = out_dir / weights_file(CAM)
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
    mosaics = TiledImages(images, labels, plan, indices)
    return DataLoader(mosaics, share_of_batch(config.batch, "batch"), num_workers=config.loader_workers)


def _build(config: CamConfig, classes: int) -> CamNet:
    net = build_cam(
        config.architecture, config.backbone, classes, config.side_px, config.weaktr, config.backbone_weights
    )
    tiles_px = 2 * net.stride_px
    if config.mosaic_prob > 0 and config.side_px % tiles_px:
        raise UserError(f"side_px is {config.side_px}: 2x2 mosaics (mosaic_prob) need a multiple of {tiles_px}")
    if isinstance(net, CnnCam):
        net.features.to(memory_format=torch.channels_last)
    return net


def _compute(
    config: CamConfig, objectness: Objectness | None, model: Any, batch: dict[str, torch.Tensor], _: int
) -> StepOutput:
    output, tags = model(batch["image"]), batch["tags"]
    if config.architecture == "weaktr":
        return StepOutput(weaktr_losses(output, tags, config.weaktr.inverse_temperature, config.background_share))
    likely = objectness(batch["image"]) if objectness else None
    return StepOutput(cnn_losses(output[1], tags, INVERSE_TEMPERATURE, config.background_share, likely))
