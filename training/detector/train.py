"""The retrained detector and, with masks, the instance segmenter: an R-CNN on pseudo ground truth, with RoI drop."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import torch
from safetensors.torch import load_file, save_file
from torch.utils.data import DataLoader

from models.image import read_image
from models.labels import LabelSet
from models.labels_file import write_labels
from models.letterbox import Letterbox
from models.nets.backbone import MEAN_RGB
from models.nets.rcnn import Rcnn, RcnnSettings, build_rcnn
from models.nets.roi_drop import DropRule
from training.data.tagged import TaggedImage
from training.detector.data import LabelledImage, LabelledScenes, Scene, ScenePlan, labelled_images, stack_scenes
from training.detector.drop_log import drop_figures
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
from training.runs.inputs import files_digest, pictures_digest
from training.runs.ranks import is_first_rank, rank, track_first, wait_for_ranks

MOMENTUM = 0.9
MOST_GRADIENT_NORM = 10.0


@dataclass(frozen=True)
class DetectorConfig:
    """Settings of `train_detector`: ``steps`` steps of ``batch`` canvases.

    Attributes:
        net: the network; with ``net.mask_channels`` above 0 it learns masks too.
        backbone_weights: as `models.nets.backbone.create_backbone` takes them.
        side_px: side of the pictures that the detector is served with.
        train_sides_px: sides in training, one drawn for each batch (multi-scale training).
        four_share: share of the batches whose canvases hold four pictures.
        optimizer: ``adamw``, or ``sgd`` with a momentum of 0.9.
        backbone_lr_scale: slows the pre-trained part.
        drop: RoI drop, see `models.nets.roi_drop`.
        drop_from_step: its warm-up; nothing is dropped before. At ``steps`` or more RoI drop is off.
        test_sides_px: sides of the test-time augmentation that the report compares with the plain answer.
        cam_checkpoint: ``cam.safetensors`` of the same backbone, whose backbone is gone on from.
        supervision: ``tags``, or ``boxes`` for the fully supervised twin on the pictures of the same pseudo ground
            truth.
    """

    net: RcnnSettings
    backbone_weights: str
    side_px: int
    train_sides_px: tuple[int, ...]
    four_share: float
    steps: int
    batch: int
    optimizer: Literal["adamw", "sgd"]
    lr: float
    backbone_lr_scale: float
    weight_decay: float
    warmup_steps: int
    drop: DropRule
    drop_from_step: int
    test_sides_px: tuple[int, ...]
    precision: Precision
    seed: int
    loader_workers: int
    checkpoint_steps: int
    cam_checkpoint: Path | None = None
    supervision: Literal["tags", "boxes"] = "tags"

    def __post_init__(self) -> None:
        for name in ("train_sides_px", "test_sides_px"):
            if not getattr(self, name):
                raise ValueError(f"{name}: give at least one side")
        for name, sides in (("side_px", (self.side_px,)), ("train_sides_px", self.train_sides_px)):
            if any(side < 64 or side % 32 for side in sides):
                raise ValueError(f"{name}: must be multiples of 32 from 64 on, got {list(sides)}")


def train_detector(
    config: DetectorConfig,
    images: Sequence[TaggedImage],
    labels: LabelSet,
    annotation_files: Sequence[Path],
    out_dir: Path,
) -> Path:
    """Train, resuming a killed run; returns the checkpoint ``detector.safetensors``.

    Writes beside it the settings, ``labels.json``, ``log.jsonl`` and ``pictures.npy``, three pictures on which the
    export compares the traced network with this one. The pictures' own true objects are used for the
    log alone, unless they are what is learnt.

    Args:
        config: settings.
        images: pictures; those without an object to learn from are left out.
        labels: classes, in the order of the network's.
        annotation_files: pseudo ground truth of these pictures, ``FOLDER/annotations/instances_SPLIT.json``; none,
            with supervision by boxes: all pictures' own true objects.
        out_dir: the run's folder.

    Raises:
        ValueError: settings or annotations that cannot be used.
    """
    if not annotation_files and config.supervision != "boxes":
        raise ValueError(
            "annotations: there is no pseudo ground truth to learn from: give some, or --set supervision=boxes, which "
            "makes the fully supervised twin"
        )
    with_masks = config.net.mask_channels > 0
    rows = labelled_images(images, annotation_files, masks=with_masks, true_objects=config.supervision == "boxes")
    fabric = start_fabric(config.precision, config.seed)
    if is_first_rank():
        prepare_run(config, out_dir, _input_digests(config, images, labels, annotation_files))
        write_labels(labels, out_dir / "labels.json")
        np.save(out_dir / "pictures.npy", _sample_pictures(rows, config.side_px))
    net = _build(config, len(labels))
    raw_optimizer = _optimizer(net, config)
    model, optimizer = fabric.setup(net, raw_optimizer)
    done = resume_checkpoint(out_dir / "resume.pt", net, raw_optimizer)
    plan = ScenePlan(config.train_sides_px, config.four_share, config.batch, with_masks, config.seed)
    scenes = LabelledScenes(rows, labels, plan, range(done * config.batch, config.steps * config.batch))
    batches = fabric.setup_dataloaders(_loader(scenes, config))
    log = JsonlLog(out_dir / "log.jsonl")
    model.train()
    for step, batch in zip(range(done, config.steps), track_first(batches, "detector"), strict=True):
        set_lr(optimizer, scheduled_lr(config.lr, step, config.steps, config.warmup_steps))
        # Sampling of RoIs and anchors: a resumed run must draw what an unbroken one draws.
        torch.manual_seed((config.seed + step) * 1000 + rank())
        net.drop_rule = config.drop if step >= config.drop_from_step else None
        log.write(step=step, **_train_step(fabric, model, optimizer, batch, step))
        if (step + 1) % config.checkpoint_steps == 0:
            save_checkpoint(out_dir / "resume.pt", net, raw_optimizer, step + 1)
    checkpoint = out_dir / "detector.safetensors"
    if is_first_rank():
        save_file({key: value.contiguous() for key, value in net.state_dict().items()}, checkpoint)
    wait_for_ranks()
    return checkpoint


def _input_digests(
    config: DetectorConfig, images: Sequence[TaggedImage], labels: LabelSet, annotation_files: Sequence[Path]
) -> dict[str, str]:
    begun_from = [] if config.cam_checkpoint is None else [config.cam_checkpoint]
    return {
        "pictures": pictures_digest(images, labels, objects=config.supervision == "boxes"),
        "annotations": files_digest(annotation_files),
        "weights": files_digest(begun_from),
    }


def _train_step(fabric: Any, model: Any, optimizer: Any, batch: Any, step: int) -> dict[str, Any]:
    pictures, targets, true_boxes, true_labels = batch
    losses, foreground = model(pictures, targets)
    optimise(fabric, model, optimizer, losses, step, MOST_GRADIENT_NORM)
    figures = drop_figures(foreground, true_boxes, true_labels)
    return {name: loss.item() for name, loss in losses.items()} | figures


def _build(config: DetectorConfig, classes: int) -> Rcnn:
    net = build_rcnn(config.net, classes, config.backbone_weights)
    net.pyramid.to(memory_format=torch.channels_last)
    if config.cam_checkpoint is not None:
        prefix = "features.backbone."
        state = load_file(config.cam_checkpoint)
        own = {key.removeprefix(prefix): value for key, value in state.items() if key.startswith(prefix)}
        net.pyramid.backbone.load_state_dict(own)
    return net


def _optimizer(net: Rcnn, config: DetectorConfig) -> torch.optim.Optimizer:
    backbone = [parameter for parameter in net.pyramid.backbone.parameters() if parameter.requires_grad]
    pretrained = {id(parameter) for parameter in net.pyramid.backbone.parameters()}
    fresh = [parameter for parameter in net.parameters() if id(parameter) not in pretrained]
    groups: list[dict[str, Any]] = [{"params": backbone, "lr_scale": config.backbone_lr_scale}, {"params": fresh}]
    if config.optimizer == "sgd":
        return torch.optim.SGD(groups, lr=config.lr, momentum=MOMENTUM, weight_decay=config.weight_decay)
    return torch.optim.AdamW(groups, lr=config.lr, weight_decay=config.weight_decay)


def _loader(scenes: LabelledScenes, config: DetectorConfig) -> DataLoader[Scene]:
    share = share_of_batch(config.batch, "batch")
    return DataLoader(scenes, share, num_workers=config.loader_workers, collate_fn=stack_scenes)


def _sample_pictures(rows: Sequence[LabelledImage], side_px: int) -> npt.NDArray[np.uint8]:
    chosen = [rows[i].image for i in (0, len(rows) // 2, len(rows) - 1)]
    return np.stack([Letterbox(image.size_hw, side_px).apply(read_image(image.path), MEAN_RGB) for image in chosen])


def load_rcnn(checkpoint: Path, settings: RcnnSettings, classes: int) -> Rcnn:
    """The trained network in evaluation mode; raises RuntimeError where the file is of another network."""
    net = build_rcnn(settings, classes)
    net.load_state_dict(load_file(checkpoint))
    return net.eval()
