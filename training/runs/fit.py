"""The one training loop, for every network."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import torch
from torch import nn

from models.run_folder import LOG
from training.runs.checkpoints import resume_checkpoint, save_checkpoint
from training.runs.log import JsonlLog
from training.runs.ranks import track_first
from training.runs.schedule import scheduled_lr, set_lr

Losses = Mapping[str, torch.Tensor]


class StepOutput(NamedTuple):
    """What a step computes: unweighted loss terms by name, and further figures for the log."""

    losses: Losses
    figures: Mapping[str, Any] = {}


@dataclass(frozen=True)
class Task:
    """What is learnt, and how far.

    Attributes:
        name: of the progress bar.
        net: the network whose weights are learnt and checkpointed.
        module: ``net``, or a module around it. Over several ranks gradients are averaged around its forward pass.
        optimizer: of the weights of ``net``.
        steps: the length of the training.
        batches: makes the batches from a step on. Those of a resumed run must be those of an unbroken one.
        compute: takes the module as set up by Fabric, a batch and the step's number.
        loss_terms: names of what ``compute`` returns, in any step.
        loss_weights: of terms; one without a weight counts 1.
        max_gradient_norm: longer gradients are cut to it.
        log_steps: one step in so many goes into the log.
    """

    name: str
    net: nn.Module
    module: nn.Module
    optimizer: torch.optim.Optimizer
    steps: int
    batches: Callable[[int], Iterable[Any]]
    compute: Callable[[Any, Any, int], StepOutput]
    loss_terms: Sequence[str]
    loss_weights: Mapping[str, float]
    max_gradient_norm: float
    log_steps: int


class Schedule(Protocol):
    """The part of a training's settings that `fit` reads; see `scheduled_lr`."""

    @property
    def lr(self) -> float: ...
    @property
    def warmup_steps(self) -> int: ...
    @property
    def checkpoint_steps(self) -> int: ...


def fit(fabric: Any, task: Task, schedule: Schedule, out_dir: Path) -> None:
    """Train from the last checkpoint in ``out_dir``, or from the start; write checkpoints and ``log.jsonl`` there.

    The log has the unweighted terms, so that logs under other weights compare, and their weighted sum as ``loss``.

    Raises:
        FloatingPointError: a loss term is not finite; the message has all terms.
    """
    model, optimizer = fabric.setup(task.module, task.optimizer)
    done = resume_checkpoint(out_dir, task.net, task.optimizer)
    log = JsonlLog(out_dir / LOG, done)
    model.train()
    for step, batch in zip(track_first(range(done, task.steps), task.name), task.batches(done), strict=True):
        set_lr(optimizer, scheduled_lr(schedule.lr, step, task.steps, schedule.warmup_steps))
        losses, figures = task.compute(model, batch, step)
        assert losses.keys() == set(task.loss_terms), f"weights are checked against {task.loss_terms}, not {[*losses]}"
        terms = finite_terms(losses, step)
        loss = weighted_sum(losses, task.loss_weights)
        optimizer.zero_grad()
        fabric.backward(loss)
        fabric.clip_gradients(model, optimizer, max_norm=task.max_gradient_norm)
        optimizer.step()
        if step % task.log_steps == 0:
            log.write(step, loss=loss.item(), **terms, **figures)
        # The last one too: what comes after the training may fail, and would cost the steps since the one before.
        if (step + 1) % schedule.checkpoint_steps == 0 or step + 1 == task.steps:
            save_checkpoint(out_dir, task.net, task.optimizer, step + 1)


def weighted_sum(losses: Losses, weights: Mapping[str, float]) -> torch.Tensor:
    """Return the sum of the terms, each by its weight; a term without one counts 1."""
    return torch.stack([weights.get(name, 1.0) * loss for name, loss in losses.items()]).sum()


def finite_terms(losses: Losses, step: int) -> dict[str, float]:
    """Return the terms as numbers; raises FloatingPointError with all of them if one is not finite."""
    terms = {name: loss.item() for name, loss in losses.items()}
    if not all(map(math.isfinite, terms.values())):
        # Training on would only hide the cause.
        raise FloatingPointError(f"loss is not finite at step {step}: {terms}")
    return terms
