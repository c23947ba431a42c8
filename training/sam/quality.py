"""How good a compact SAM's masks are, learnt on its own: the network stays as it is.

A network in training judges masks that change under it, and an average of two was never trained as it is. So the last
step asks the finished network about many images once, and fits the correction to that.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn
from torch.nn import functional

from models.config import config_values
from models.nets.compact_sam import CompactSam
from models.nets.mask_quality import MaskQuality
from models.run_folder import CONFIG, ENVIRONMENT, LOG, SAM, open_run
from training.runs.checkpoints import save_weights
from training.runs.environment import environment
from training.runs.log import JsonlLog
from training.runs.ranks import track_first
from training.runs.schedule import scheduled_lr, set_lr
from training.sam.batches import Batch, sam_loader
from training.sam.config import SamConfig
from training.sam.images.photographs import read_domains
from training.sam.train import rank_loss, true_ious
from training.sam.trained import load_compact_sam
from weaksam.files.atomic import write_json

# Chosen by the ranking of masks on the photographs of `val`.
FIT_STEPS = 3000
FIT_PROMPTS = 256
FIT_LR = 2e-3
FIT_WARMUP_STEPS = 200
WEIGHT_DECAY = 0.05
RANK_WEIGHT = 1.0
LOG_STEPS = 100


@dataclass(frozen=True)
class JudgedMasks:
    """What the correction sees of P prompts, and what it should say.

    Attributes:
        seen: [P,3,F] inputs of `MaskQuality.layers`.
        predicted_iou: [P,3] of the decoder, to be corrected.
        true_iou: [P,3].
    """

    seen: torch.Tensor
    predicted_iou: torch.Tensor
    true_iou: torch.Tensor


def learn_quality(config: SamConfig, run_dir: Path, out_dir: Path) -> Path:
    """Write a run like a finished one, except that it judges its masks better; returns the checkpoint.

    Args:
        config: of `weaksam train sam`; its data, and its ``steps`` of batches, are what the network is asked about.
        run_dir: folder of a finished ``weaksam train sam`` or ``sam-average``.
        out_dir: folder of the run to write.

    Raises:
        RunError: the training is not finished.
        UserError: a source has no masks.
    """
    run = open_run(run_dir, SAM)
    net = load_compact_sam(run.checkpoint, run.config["backbone"], run.config["side_px"])
    sources = [read_domains(source) for source in config.sources]
    torch.manual_seed(config.seed)
    judged = judge(net, track_first(sam_loader(config, sources, 0), "masks"))
    out_dir.mkdir(parents=True, exist_ok=True)
    fit_quality(net.quality, judged, config.seed, out_dir)
    write_json(out_dir / CONFIG, {**run.config, "quality": {"run": str(run_dir), "config": config_values(config)}})
    write_json(out_dir / ENVIRONMENT, environment())
    checkpoint = out_dir / run.checkpoint.name
    save_weights(net, checkpoint)
    return checkpoint


def judge(net: CompactSam, batches: Iterable[Batch]) -> JudgedMasks:
    """Ask the network about batches of `PromptedImages`, and return what its correction sees of the masks."""
    answers = [answer for batch in batches for answer in _answers(net, batch)]
    return JudgedMasks(*(torch.cat(columns) for columns in zip(*answers, strict=True)))


def fit_quality(quality: MaskQuality, judged: JudgedMasks, seed: int, out_dir: Path) -> None:
    """Fit the correction to judged masks, and log the losses to ``log.jsonl``."""
    optimizer = torch.optim.AdamW(quality.parameters(), lr=FIT_LR, weight_decay=WEIGHT_DECAY)
    generator = torch.Generator().manual_seed(seed)
    log = JsonlLog(out_dir / LOG, 0)
    for step in track_first(range(FIT_STEPS), "quality"):
        set_lr(optimizer, scheduled_lr(FIT_LR, step, FIT_STEPS, FIT_WARMUP_STEPS))
        rows = torch.randint(len(judged.seen), (FIT_PROMPTS,), generator=generator)
        predicted = judged.predicted_iou[rows] + quality.layers(judged.seen[rows])[..., 0]
        iou = functional.mse_loss(predicted, judged.true_iou[rows])
        rank = rank_loss(predicted, judged.true_iou[rows])
        optimizer.zero_grad()
        torch.autograd.backward(iou + RANK_WEIGHT * rank)
        optimizer.step()
        if step % LOG_STEPS == 0:
            log.write(step, loss_iou=iou.item(), loss_rank=rank.item())


def _answers(net: CompactSam, batch: Batch) -> Sequence[tuple[torch.Tensor, torch.Tensor, torch.Tensor]]:
    """Return what is seen, predicted and true, of each image of a batch."""
    seen: list[torch.Tensor] = []
    decoded: list[torch.Tensor] = []

    def keep(quality: nn.Module, inputs: tuple[torch.Tensor, torch.Tensor, torch.Tensor], _: torch.Tensor) -> None:
        assert isinstance(quality, MaskQuality)
        seen.append(quality.inputs(*inputs))
        decoded.append(inputs[2])

    hook = net.quality.register_forward_hook(keep)
    with torch.no_grad():
        net.set_side(batch["image"].shape[1])
        embeddings = net.encode(batch["image"])
        logits = [
            net.decode(embeddings[i : i + 1], coords, labels)[0]
            for i, (coords, labels) in enumerate(zip(batch["coords"], batch["labels"], strict=True))
        ]
    hook.remove()
    true = [true_ious(of_image, masks) for of_image, masks in zip(logits, batch["masks"], strict=True)]
    return list(zip(seen, decoded, true, strict=True))
