"""What every training loop shares: devices, learning rate, log, checkpoints."""

from __future__ import annotations

import json
import math
import os
import platform
import subprocess
import time
from collections.abc import Mapping
from datetime import timedelta
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Literal

import torch
from lightning_fabric import Fabric
from lightning_fabric.plugins.precision import MixedPrecision
from lightning_fabric.strategies.ddp import DDPStrategy
from torch import nn
from torch.utils.tensorboard import SummaryWriter

from models.config import config_values
from training.runs.ranks import is_first_rank, rank_count
from training.runs.stage import WITHOUT_EFFECT, digest_of, settings_values
from weaksam.files.atomic import replacing_bytes, write_text

Precision = Literal["32-true", "bf16-mixed"]
LONGEST_WAIT = timedelta(hours=12)
START_ANEW = "give another --out, or remove its resume.pt to start anew"
SETTINGS = "settings"
RECORDED_PACKAGES = ("torch", "torchvision", "timm", "segment-anything", "onnxruntime", "onnxruntime-gpu", "numpy")


class MixedAsGiven(MixedPrecision):
    """Computes in bfloat16 what autocast deems safe, and hands inputs on as they are.

    Fabric would round them as well, boxes and points included: bfloat16 is off by four pixels at 1500.
    """

    def __init__(self) -> None:
        super().__init__("bf16-mixed", "cuda" if torch.cuda.is_available() else "cpu")

    def convert_input(self, data: Any) -> Any:
        return data


def start_fabric(precision: Precision, seed: int) -> Fabric:
    """Launch Lightning Fabric on the best device at hand and seed torch; under ``torchrun`` or SLURM, as a rank."""
    nodes, ranks_of_node = _launched_ranks()
    # The others wait for as long as the first rank exports and reports.
    together = DDPStrategy(find_unused_parameters=True, timeout=LONGEST_WAIT)
    fabric = Fabric(
        accelerator="auto",
        devices=ranks_of_node,
        num_nodes=nodes,
        strategy=together if nodes * ranks_of_node > 1 else "auto",
        plugins=[MixedAsGiven()] if precision == "bf16-mixed" else [],
    )
    fabric.launch()
    fabric.seed_everything(seed, verbose=False)
    return fabric


def _launched_ranks() -> tuple[int, int]:
    """Machines, and processes on each, that ``torchrun`` or SLURM has started; 1 and 1 without either.

    Raises:
        ValueError: SLURM has started several tasks, but does not say how many on each machine.
    """
    asked = os.environ
    if "LOCAL_WORLD_SIZE" in asked:
        return int(asked.get("GROUP_WORLD_SIZE", "1")), int(asked["LOCAL_WORLD_SIZE"])
    if "SLURM_PROCID" in asked and "SLURM_NTASKS_PER_NODE" in asked:
        return int(asked.get("SLURM_NNODES", "1")), int(asked["SLURM_NTASKS_PER_NODE"])
    if "SLURM_PROCID" in asked and int(asked.get("SLURM_NTASKS", "1")) > 1:
        raise ValueError(
            f"SLURM has started {asked['SLURM_NTASKS']} tasks and not said how many on each machine, so each would "
            "train alone in one folder: give srun --ntasks-per-node, or --ntasks=1"
        )
    return 1, 1


def share_of_batch(batch: int, name: str) -> int:
    """A rank's part of a global batch; raises ValueError where the ranks cannot share it evenly."""
    if batch % rank_count():
        raise ValueError(f"{name} is {batch}: take a multiple of the {rank_count()} ranks")
    return batch // rank_count()


def scheduled_lr(base_lr: float, step: int, steps: int, warmup_steps: int) -> float:
    """Linear warm-up, then a half cosine down to 1 % of ``base_lr``."""
    if step < warmup_steps:
        return base_lr * (step + 1) / warmup_steps
    progress = (step - warmup_steps) / max(1, steps - warmup_steps)
    return base_lr * (0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * progress)))


def set_lr(optimizer: torch.optim.Optimizer, lr: float) -> None:
    """Apply ``lr`` to all groups; a group may carry a ``lr_scale`` of its own."""
    for group in optimizer.param_groups:
        group["lr"] = lr * group.get("lr_scale", 1.0)


def optimise(
    fabric: Any,
    model: Any,
    optimizer: Any,
    losses: Mapping[str, torch.Tensor],
    step: int,
    most_norm: float,
) -> None:
    """One step of the optimiser down the sum of the losses, its gradient cut to ``most_norm``.

    Raises:
        FloatingPointError: with all terms, where one is not finite: training on would only hide the cause.
    """
    values = {name: loss.item() for name, loss in losses.items()}
    if not all(map(math.isfinite, values.values())):
        raise FloatingPointError(f"loss is not finite at step {step}: {values}")
    optimizer.zero_grad()
    fabric.backward(sum(losses.values()))
    fabric.clip_gradients(model, optimizer, max_norm=most_norm)
    optimizer.step()


class JsonlLog:
    """One JSON object a line, appended and closed each time, so that a killed run keeps its history.

    Numbers of a step go to TensorBoard as well, into a folder ``tensorboard`` beside the file. Only the first rank
    writes.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._started_s = time.monotonic()
        self._board = SummaryWriter(str(path.parent / "tensorboard")) if is_first_rank() else None

    def write(self, **values: Any) -> None:
        if self._board is None:
            return
        if "step" in values:
            for name, value in values.items():
                if name != "step" and isinstance(value, int | float):
                    self._board.add_scalar(name, value, values["step"])
            self._board.flush()  # or a kill would lose the last minutes
        rounded = {key: round(value, 5) if isinstance(value, float) else value for key, value in values.items()}
        elapsed_s = round(time.monotonic() - self._started_s, 1)
        with self._path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(rounded | {"elapsed_s": elapsed_s}) + "\n")


def save_checkpoint(path: Path, model: nn.Module, optimizer: torch.optim.Optimizer, step: int) -> None:
    """Write what a killed run needs to go on; atomic, so that a kill in the middle leaves the previous one."""
    if not is_first_rank():
        return
    with replacing_bytes(path) as file:
        torch.save({"model": model.state_dict(), "optimizer": optimizer.state_dict(), "step": step}, file)


def resume_checkpoint(path: Path, model: nn.Module, optimizer: torch.optim.Optimizer) -> int:
    """Load a checkpoint where there is one; returns the number of finished steps.

    After `Fabric.setup`, which moves the network to its device: the optimiser's state follows the parameters.
    """
    if not path.exists():
        return 0
    state = torch.load(path, map_location="cpu", weights_only=True)
    model.load_state_dict(state["model"])
    optimizer.load_state_dict(state["optimizer"])
    return int(state["step"])


def prepare_run(config: Any, out_dir: Path, inputs: Mapping[str, str] | None = None) -> None:
    """Make a run's folder with its resolved settings, digests of its inputs by name, and the environment.

    Raises:
        ValueError: it holds a checkpoint of other settings or inputs, which would go on under these.
    """
    if not is_first_rank():
        return
    out_dir.mkdir(parents=True, exist_ok=True)
    settings = config_values(config)
    inputs = {SETTINGS: digest_of(settings_values(config)), **(inputs or {})}
    if (out_dir / "resume.pt").is_file():
        before = _recorded(out_dir / "inputs.json", inputs)
        if before.get(SETTINGS) != inputs[SETTINGS]:
            _require_same_settings(settings, out_dir)
        _require_same_inputs(inputs, {SETTINGS: inputs[SETTINGS], **before}, out_dir)
    for name, values in (("config", settings), ("inputs", inputs), ("environment", _environment())):
        write_text(out_dir / f"{name}.json", json.dumps(values, indent=1) + "\n")


def _require_same_settings(settings: dict[str, Any], out_dir: Path) -> None:
    now = json.loads(json.dumps(settings))
    before = _recorded(out_dir / "config.json", now)
    for name in sorted((before.keys() | now.keys()) - set(WITHOUT_EFFECT)):
        if before.get(name) != now.get(name):
            raise ValueError(
                f"{out_dir} holds a run whose {name} was {before.get(name)!r}, and not {now.get(name)!r}: {START_ANEW}"
            )


def _require_same_inputs(inputs: Mapping[str, str], before: Mapping[str, str], out_dir: Path) -> None:
    for name, digest in inputs.items():
        if before.get(name) != digest:
            raise ValueError(f"{out_dir} holds a run whose {name} were others: {START_ANEW}")


def _recorded(path: Path, otherwise: Mapping[str, Any]) -> Mapping[str, Any]:
    """What an earlier start wrote down; runs of earlier versions did not all."""
    recorded: Mapping[str, Any] = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else otherwise
    return recorded


def _environment() -> dict[str, Any]:
    changed = _git("status", "--porcelain", "--untracked-files=no")
    return {
        "git_revision": _git("rev-parse", "HEAD") or "unknown",
        "git_modified": None if changed is None else bool(changed),
        "python": platform.python_version(),
        "machine": platform.machine(),
        "device": torch.cuda.get_device_name() if torch.cuda.is_available() else "cpu",
        "ranks": rank_count(),
        "packages": {name: found for name in RECORDED_PACKAGES if (found := _version(name)) is not None},
    }


def _git(*arguments: str) -> str | None:
    """What git says of the checkout that this file lies in; None outside one, or without git."""
    try:
        said = subprocess.run(  # noqa: S603 - arguments are our own
            ["git", *arguments],  # noqa: S607 - whichever git the user has
            capture_output=True,
            text=True,
            cwd=Path(__file__).parent,
            check=True,
        )
    except (OSError, subprocess.CalledProcessError):
        return None
    return said.stdout.strip()


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None
