"""A training that is killed between two checkpoints."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn

from training.runs.checkpoints import save_checkpoint


def cut_off_between_checkpoints(patch: pytest.MonkeyPatch) -> None:
    """Have every training write its first checkpoint, and end as by Ctrl+C where it would write the second."""
    written: list[int] = []

    def write_or_end(out_dir: Path, net: nn.Module, optimizer: torch.optim.Optimizer, step: int) -> None:
        if written:
            raise KeyboardInterrupt
        save_checkpoint(out_dir, net, optimizer, step)
        written.append(step)

    patch.setattr("training.runs.fit.save_checkpoint", write_or_end)
