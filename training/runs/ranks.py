"""Processes that share a stage: each takes its pictures, writes one file for each, and reads the others' files.

Ranks are started by ``torchrun`` or SLURM and joined by `training.runs.engine.start_fabric`. Alone, a process is
rank 0.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Sequence
from typing import Any, TypeVar

from rich.progress import track

Item = TypeVar("Item")


def _group() -> Any:
    """torch.distributed where ranks have been joined, else None. Evaluation runs where torch is not installed."""
    distributed = sys.modules.get("torch.distributed")
    joined = distributed is not None and distributed.is_available() and distributed.is_initialized()
    return distributed if joined else None


def rank_count() -> int:
    """How many processes work on this stage."""
    group = _group()
    return 1 if group is None else int(group.get_world_size())


def rank() -> int:
    """This process's number, from 0."""
    group = _group()
    return 0 if group is None else int(group.get_rank())


def local_rank() -> int:
    """This process's number among those of its machine, as ``torchrun`` and SLURM count them, from 0."""
    return int(os.environ.get("LOCAL_RANK", os.environ.get("SLURM_LOCALID", "0")))


def threads_of_rank() -> int:
    """Threads for one operator of onnxruntime: 0, one per core, or one alone where ranks share the machine."""
    return 1 if rank_count() > 1 else 0


def is_first_rank() -> bool:
    """Whether this process writes what is written once: logs, checkpoints, reports."""
    return rank() == 0


def wait_for_ranks() -> None:
    """Return when every rank has come here, so that files written before can be read after."""
    group = _group()
    if group is not None:
        group.barrier()


def my_share(items: Sequence[Item]) -> Sequence[Item]:
    """Every n-th item of n ranks; neighbours, which cost about the same, go to different ranks."""
    return items[rank() :: rank_count()]


def track_first(items: Iterable[Item], description: str) -> Iterable[Item]:
    """A progress bar on the first rank; the others are silent."""
    return track(items, description, disable=not is_first_rank())
