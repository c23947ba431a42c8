"""Trains the detector, or with masks the instance segmenter: on pseudo ground truth, with drop."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch.utils.data import DataLoader

from models.bundle import DETECTOR
from models.image import read_image
from models.labels import LabelSet
from models.letterbox import Letterbox
from models.nets.backbone import MEAN_RGB
from models.nets.cam_weights import BACKBONE, load_cam_weights
from models.nets.checkpoint_files import load_weights
from models.nets.detectors.build import build_detector
from models.nets.detectors.detector import Detector
from models.nets.detectors.settings import DetectorSettings
from models.run_folder import SAMPLE_IMAGES, weights_file
from training.data.tagged import TaggedImage
from training.detector.config import DetectorConfig
from training.detector.data import DetectorExample, LabelledScenes, Scene, ScenePlan, labelled_images, stack_scenes
from training.detector.drop_log import drop_figures
from training.runs.cam_file import cam_file
from training.runs.checkpoints import save_weights
from training.runs.devices import start_fabric
from training.runs.fit import StepOutput, Task, fit
from training.runs.inputs import files_digest, images_digest
from training.runs.ranks import is_first_rank, rank, share_of_batch, wait_for_ranks
from training.runs.run_folder import prepare_run
from training.runs.schedule import parameter_groups
from weaksam.errors import UserError

MOMENTUM = 0.9


def train_detector(
    config: DetectorConfig,
    images: Sequence[TaggedImage],
    labels: LabelSet,
    annotation_files: Sequence[Path],
    out_dir: Path,
) -> Path:
    """Train, resuming a killed run, and return the checkpoint ``detector.safetensors``.

    Writes the files of a run's folder, and ``pictures.npy``: three images on which the export compares the traced
    network with this one. The images' own true objects are for the log alone, unless they are what is learnt.

    Args:
        config: settings.
        images: those without an object to learn from are left out.
        labels: classes, in the order of the network's outputs.
        annotation_files: see `labelled_images`; may be empty if supervision is by boxes.
        out_dir: the run's folder.

    Raises:
        UserError: settings or annotations that cannot be used.
    """
    if not annotation_files and config.supervision != "boxes":
        raise UserError(
            "annotations: there is no pseudo ground truth to learn from: give --annotations, or train the fully "
            "supervised twin with --set supervision=boxes"
        )
    twin = config.supervision == "boxes"
    rows = labelled_images(images, annotation_files, masks=config.has_masks, true_objects=twin)
    fabric = start_fabric(config.precision, config.seed)
    prepare_run(config, out_dir, _input_digests(config, images, labels, annotation_files), labels)
    if is_first_rank():
        np.save(out_dir / SAMPLE_IMAGES, _sample_images(rows, config.side_px))
    net = _build(config, len(labels))
    task = Task(
        name="detector",
        net=net,
        module=net,
        optimizer=_optimizer(net, config),
        steps=config.steps,
        batches=lambda done: fabric.setup_dataloaders(_loader(config, rows, labels, done)),
        compute=partial(_compute, config, net),
        loss_terms=config.loss_terms,
        loss_weights=config.loss_weights,
        max_gradient_norm=config.max_gradient_norm,
        log_steps=1,
    )
    fit(fabric, task, config, out_dir)
    checkpoint = out_dir / weights_file(DETECTOR)
    save_weights(net, checkpoint)
    wait_for_ranks()
    return checkpoint


def check_detector(config: DetectorConfig, classes: int) -> None:
    """Build the network that `train_detector` would, and leave it.

    Raises:
        UserError: its sizes do not fit together, or a file of weights is missing or of another network.
    """
    _build(config, classes)


def _input_digests(
    config: DetectorConfig, images: Sequence[TaggedImage], labels: LabelSet, annotation_files: Sequence[Path]
) -> dict[str, str]:
    begun_from = [] if config.cam_checkpoint is None else [cam_file(config.cam_checkpoint)]
    return {
        "images": images_digest(images, labels, objects=config.supervision == "boxes"),
        "annotations": files_digest(annotation_files),
        "weights": files_digest(begun_from),
    }


def _compute(config: DetectorConfig, net: Detector, model: Any, batch: Any, step: int) -> StepOutput:
    images, targets, true_boxes, true_labels = batch
    # Sampling of RoIs and anchors: a resumed run must draw what an unbroken one draws.
    torch.manual_seed((config.seed + step) * 1000 + rank())
    net.drop_rule = config.drop if step >= config.drop_from_step else None
    losses, foreground = model(images, targets)
    return StepOutput(losses, drop_figures(foreground, true_boxes, true_labels))


def _build(config: DetectorConfig, classes: int) -> Detector:
    net = build_detector(config, classes, config.backbone_weights)
    net.backbone.to(memory_format=torch.channels_last)
    if config.cam_checkpoint is not None:
        load_cam_weights(net.backbone, cam_file(config.cam_checkpoint), BACKBONE)
    return net


def _optimizer(net: Detector, config: DetectorConfig) -> torch.optim.Optimizer:
    groups = parameter_groups(net, list(net.backbone.parameters()), config.backbone_lr_scale)
    if config.optimizer == "sgd":
        return torch.optim.SGD(groups, lr=config.lr, momentum=MOMENTUM, weight_decay=config.weight_decay)
    return torch.optim.AdamW(groups, lr=config.lr, weight_decay=config.weight_decay)


def _loader(config: DetectorConfig, rows: Sequence[DetectorExample], labels: LabelSet, done: int) -> DataLoader[Scene]:
    plan = ScenePlan(config.train_sides_px, config.mosaic_prob, config.batch, config.has_masks, config.seed)
    scenes = LabelledScenes(rows, labels, plan, range(done * config.batch, config.steps * config.batch))
    share = share_of_batch(config.batch, "batch")
    return DataLoader(scenes, share, num_workers=config.loader_workers, collate_fn=stack_scenes)


def _sample_images(rows: Sequence[DetectorExample], side_px: int) -> npt.NDArray[np.uint8]:
    chosen = [rows[i].image for i in (0, len(rows) // 2, len(rows) - 1)]
    return np.stack([Letterbox(image.size_hw, side_px).apply(read_image(image.path), MEAN_RGB) for image in chosen])


def load_detector(checkpoint: Path, settings: DetectorSettings, classes: int) -> Detector:
    """Return the trained network in evaluation mode; raises CheckpointError if the file is of another network."""
    net = build_detector(settings, classes)
    load_weights(net, checkpoint)
    return net.eval()
