"""Class-agnostic training of the compact SAM on generated images and on photographs with masks."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.nn import functional

from models.nets.compact_sam import CompactSam, build_compact_sam
from models.prompting.prompts import PADDING
from models.run_folder import SAM, weights_file
from training.runs.checkpoints import save_weights
from training.runs.devices import start_fabric
from training.runs.fit import StepOutput, Task, fit
from training.runs.inputs import masked_images_digest, segmenter_digest
from training.runs.ranks import wait_for_ranks
from training.runs.run_folder import prepare_run
from training.sam.batches import MASK_STRIDE_PX, Batch, sam_loader
from training.sam.config import PROMPT_MAP_LOSS, SamConfig
from training.sam.images.photographs import Domain, read_domains
from training.sam.initial_weights import load_initial_weights
from training.sam.prompt_map import prompt_map_loss
from training.sam.prompts import correcting_clicks, with_clicks

MAX_GRADIENT_NORM = 1.0
LOG_STEPS = 20
FOCAL_GAMMA = 2.0
# Cells added to an object's area before its focal loss is divided by it, or specks would count most of all.
AREA_OFFSET = 128.0
# Of a single point's loss, the share that all levels have, not the best alone.
SHARED_LOSS = 0.1
# Predicted IoUs that differ by this much are hardly mistaken for each other when a level is drawn by them.
RANK_TEMPERATURE = 0.05
# Which level is ranked first decides as much as how good the levels are.
LOSS_WEIGHTS = {"loss_iou": 4.0}
# The prompt map must not lead the encoder away from masks, which are what it is for.
PROMPT_MAP_WEIGHTS = {PROMPT_MAP_LOSS: 0.1}


def sam_losses(
    logits: torch.Tensor, predicted_iou: torch.Tensor, masks: torch.Tensor, ambiguous: torch.Tensor
) -> dict[str, torch.Tensor]:
    """Losses after Segment Anything (arXiv 2304.02643, appendix A).

    A single point may mean a part or the whole, so that the best of the three levels learns; a box or several points
    mean one thing, so that all do. Unlike there the focal loss is divided by the object's area instead of the
    image's: things of a few pixels count as much as large ones.

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
    true_iou = true_ious(logits, masks)
    return {
        "loss_focal": (weights * focal).sum(dim=1).mean(),
        "loss_dice": (weights * dice).sum(dim=1).mean(),
        "loss_iou": functional.mse_loss(predicted_iou, true_iou),
        "loss_rank": rank_loss(predicted_iou, true_iou),
    }


def true_ious(logits: torch.Tensor, masks: torch.Tensor) -> torch.Tensor:
    """Return the IoU [P,3] of masks, from logits [P,3,h,w], with the cells that true masks [P,h,w] cover by half."""
    inside, wanted = logits > 0, masks[:, None] > 0.5
    shared = (inside & wanted).sum((2, 3)).float()
    return shared / (inside | wanted).sum((2, 3)).clamp(min=1)


def rank_loss(predicted_iou: torch.Tensor, true_iou: torch.Tensor) -> torch.Tensor:
    """Return how much IoU is lost if the level is drawn by its prediction [P,3], and not the best one taken."""
    chosen = (predicted_iou / RANK_TEMPERATURE).softmax(dim=1)
    return (true_iou.amax(dim=1) - (chosen * true_iou).sum(dim=1)).mean()


class SamLosses(nn.Module):
    """The network with its loss in one forward pass, which is what gradients are averaged over ranks around."""

    def __init__(self, net: CompactSam) -> None:
        super().__init__()
        self.net = net

    def forward(self, batch: Batch) -> dict[str, torch.Tensor]:
        """Losses of a batch as `PromptedImages` makes it."""
        net = self.net
        net.set_side(batch["image"].shape[1])
        embeddings = net.encode(batch["image"])
        of_images = [{name: values[i] for name, values in batch.items()} for i in range(len(embeddings))]
        answers = [self._answer(embeddings[i : i + 1], image) for i, image in enumerate(of_images)]
        logits = torch.cat([logits for logits, _ in answers]).float()
        predicted_iou = torch.cat([iou for _, iou in answers]).float()
        # A point and a row of padding; the other prompts are two corners, or several points.
        ambiguous = (batch["labels"] == PADDING).any(dim=2).flatten() & ~batch["corrected"].flatten()
        losses = sam_losses(logits, predicted_iou, batch["masks"].flatten(0, 1), ambiguous)
        if net.prompt_map is None:
            return losses
        asked = prompt_map_loss(net.prompt_logits(embeddings).float()[:, 0], batch["heat"], batch["heat_weight"])
        return losses | {PROMPT_MAP_LOSS: asked}

    def _answer(self, embedding: torch.Tensor, image: Batch) -> tuple[torch.Tensor, torch.Tensor]:
        """Answers to one image's prompts; where they are to be corrected, to the same with a click more."""
        coords, labels = image["coords"], image["labels"]
        if image["corrected"].any():
            with torch.no_grad():
                logits, iou = self.net.decode(embedding, coords, labels)
                first = logits[torch.arange(len(logits)), iou.argmax(dim=1)]
                clicks = correcting_clicks(first, image["masks"], image["draws"], MASK_STRIDE_PX)
            coords, labels = with_clicks(coords, labels, clicks)
        return self.net.decode(embedding, coords, labels)


def train_sam(config: SamConfig, out_dir: Path) -> Path:
    """Train, resuming a killed run; returns the checkpoint ``sam.safetensors`` beside its settings and log.

    Under ``torchrun`` each rank takes its share of every batch; batch normalisation sees that share alone.
    """
    fabric = start_fabric(config.precision, config.seed)
    sources = [read_domains(source) for source in config.sources]
    prepare_run(config, out_dir, _input_digests(config, sources))
    net = build_compact_sam(config.backbone, config.side_px, config.backbone_weights, prompt_map=config.prompt_map)
    if config.initial is not None:
        load_initial_weights(net, config.initial)
    net.image_encoder.to(memory_format=torch.channels_last)
    task = Task(
        name="compact SAM",
        net=net,
        module=SamLosses(net),
        optimizer=torch.optim.AdamW(net.parameters(), lr=config.lr, weight_decay=config.weight_decay),
        steps=config.steps,
        batches=lambda done: fabric.setup_dataloaders(sam_loader(config, sources, done)),
        compute=_compute,
        loss_terms=config.loss_terms,
        loss_weights={**LOSS_WEIGHTS, **(PROMPT_MAP_WEIGHTS if config.prompt_map else {}), **config.loss_weights},
        max_gradient_norm=MAX_GRADIENT_NORM,
        log_steps=LOG_STEPS,
    )
    fit(fabric, task, config, out_dir)
    checkpoint = out_dir / weights_file(SAM)
    save_weights(net, checkpoint)
    wait_for_ranks()
    return checkpoint


def _input_digests(config: SamConfig, sources: Sequence[Sequence[Domain]]) -> dict[str, str]:
    """Return digests of photographs and first weights; generated images are a function of the settings."""
    images = [image for domains in sources for domain in domains for image in domain]
    digests = {"photographs": masked_images_digest(images)}
    if config.initial is not None:
        digests["initial weights"] = segmenter_digest(config.initial, "initial")
    return digests


def _compute(model: Any, batch: Batch, _: int) -> StepOutput:
    return StepOutput(model(batch))
