"""Where a training computes: Lightning Fabric on the best device at hand, and its precision."""

from __future__ import annotations

import atexit
import os
from datetime import timedelta
from typing import Any

import torch
from lightning_fabric import Fabric
from lightning_fabric.plugins.precision import MixedPrecision
from lightning_fabric.strategies.ddp import DDPStrategy
from torch import distributed

from training.runs.settings import Precision
from weaksam.errors import UserError

MAX_WAIT = timedelta(hours=12)


class MixedAsGiven(MixedPrecision):
    """Computes in bfloat16 what autocast deems safe, and hands inputs on as they are.

    Fabric would round them as well, boxes and points included: bfloat16 is off by four pixels at 1500.
    """

    def __init__(self) -> None:
        super().__init__("bf16-mixed", "cuda" if torch.cuda.is_available() else "cpu")

    def convert_input(self, data: Any) -> Any:
        return data


def start_fabric(precision: Precision, seed: int) -> Fabric:
    """Launch Lightning Fabric on the best device at hand and seed torch; join the ranks of ``torchrun`` or SLURM."""
    nodes, ranks_of_node = _launched_ranks()
    # The others wait for as long as the first rank exports and reports.
    together = DDPStrategy(find_unused_parameters=True, timeout=MAX_WAIT)
    fabric = Fabric(
        accelerator="auto",
        devices=ranks_of_node,
        num_nodes=nodes,
        strategy=together if nodes * ranks_of_node > 1 else "auto",
        plugins=[MixedAsGiven()] if precision == "bf16-mixed" else [],
    )
    fabric.launch()
    atexit.register(_leave_ranks)
    fabric.seed_everything(seed, verbose=False)
    return fabric


def _leave_ranks() -> None:
    """End the threads that join the ranks: one that outlives the interpreter may abort a finished process."""
    if distributed.is_available() and distributed.is_initialized():
        distributed.destroy_process_group()


def _launched_ranks() -> tuple[int, int]:
    """Return how many machines, and processes on each, ``torchrun`` or SLURM has started; 1 and 1 without either.

    Raises:
        UserError: SLURM has started several tasks, but does not say how many on each machine.
    """
    variables = os.environ
    if "LOCAL_WORLD_SIZE" in variables:
        return int(variables.get("GROUP_WORLD_SIZE", "1")), int(variables["LOCAL_WORLD_SIZE"])
    if "SLURM_PROCID" in variables and "SLURM_NTASKS_PER_NODE" in variables:
        return int(variables.get("SLURM_NNODES", "1")), int(variables["SLURM_NTASKS_PER_NODE"])
    if "SLURM_PROCID" in variables and int(variables.get("SLURM_NTASKS", "1")) > 1:
        raise UserError(
            f"SLURM has started {variables['SLURM_NTASKS']} tasks and not said how many on each machine, so each would "
            "train alone in one folder: give srun --ntasks-per-node, or --ntasks=1"
        )
    return 1, 1
