"""Processes that share a stage: each takes some images, writes one file for each, and reads the others' files.

Ranks are started by ``torchrun`` or SLURM and joined by `training.runs.devices.start_fabric`. Alone, a process is
rank 0.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from operator import length_hint
from typing import Any, TypeVar

from rich.progress import track

from training.runs.console import console
from weaksam.errors import UserError

Item = TypeVar("Item")
LINE_INTERVAL_S = 60.0


def _group() -> Any:
    """Return torch.distributed if ranks have been joined, else None; evaluation also runs without torch."""
    distributed = sys.modules.get("torch.distributed")
    joined = distributed is not None and distributed.is_available() and distributed.is_initialized()
    return distributed if joined else None


def rank_count() -> int:
    """Return how many processes work on this stage."""
    group = _group()
    return 1 if group is None else int(group.get_world_size())


def rank() -> int:
    """Return this process's number, from 0."""
    group = _group()
    return 0 if group is None else int(group.get_rank())


def local_rank() -> int:
    """Return this process's number on its machine, from 0, as ``torchrun`` and SLURM count."""
    return int(os.environ.get("LOCAL_RANK", os.environ.get("SLURM_LOCALID", "0")))


def threads_of_rank() -> int:
    """Return the threads of one onnxruntime operator: 0 for one per core, 1 if ranks share the machine.

    ``OMP_NUM_THREADS`` counts here as it does for torch: onnxruntime by itself does not read it.
    """
    if rank_count() > 1:
        return 1
    wanted = os.environ.get("OMP_NUM_THREADS", "")
    return int(wanted) if wanted.isdecimal() else 0


def is_first_rank() -> bool:
    """Return whether this process writes what is written once: logs, checkpoints, reports."""
    return rank() == 0


def wait_for_ranks() -> None:
    """Return when every rank has come here, so that files written before can be read after."""
    group = _group()
    if group is not None:
        group.barrier()


def my_share(items: Sequence[Item]) -> Sequence[Item]:
    """Return every n-th item of n ranks: neighbours cost about the same and go to different ranks."""
    return items[rank() :: rank_count()]


def share_of_batch(batch: int, name: str) -> int:
    """Return a rank's part of a global batch; raises UserError if the ranks cannot share it evenly."""
    if batch % rank_count():
        raise UserError(f"{name} is {batch}: take a multiple of the {rank_count()} ranks")
    return batch // rank_count()


def track_first(items: Iterable[Item], description: str) -> Iterable[Item]:
    """Yield the items under a progress bar; without a terminal it says how far it is each minute.

    Only the first rank shows anything.
    """
    total = length_hint(items) or None
    told = items if console.is_terminal or not is_first_rank() else _told(items, description, total)
    return track(told, description, total=total, console=console, disable=not is_first_rank())


def _told(items: Iterable[Item], description: str, total: int | None) -> Iterator[Item]:
    """Print a line a minute, between two items: a bar in a file shows itself at its end only."""
    begun = last = time.monotonic()
    of = "" if total is None else f" of {total}"
    for done, item in enumerate(items):
        now = time.monotonic()
        if now - last >= LINE_INTERVAL_S:
            console.print(f"{description}: {done}{of}, {60 * done / (now - begun):.1f} a minute")
            last = now
        yield item
