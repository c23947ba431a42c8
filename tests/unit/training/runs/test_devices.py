from __future__ import annotations

import pytest
import torch

from training.runs.devices import start_fabric


class Watched(torch.nn.Module):
    """Remembers the points it was given, and the type that its layer computed in."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = torch.nn.Linear(2, 2)

    def forward(self, points_xy: torch.Tensor) -> torch.Tensor:
        self.points_xy = points_xy
        moved_xy: torch.Tensor = self.layer(points_xy)
        self.computed_in = moved_xy.dtype
        return moved_xy


def test_half_precision_is_for_what_is_computed_and_not_for_what_is_given() -> None:
    fabric = start_fabric("bf16-mixed", 0)
    net = Watched()
    points_xy = torch.tensor([[513.4, 1501.0]], device=fabric.device)
    fabric.setup(net)(points_xy)
    assert net.points_xy.dtype == torch.float32
    assert torch.equal(net.points_xy, points_xy)
    assert net.computed_in == torch.bfloat16


def test_slurm_tasks_that_do_not_know_of_each_other_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("LOCAL_WORLD_SIZE", "SLURM_NTASKS_PER_NODE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("SLURM_NTASKS", "8")
    monkeypatch.setenv("SLURM_PROCID", "3")
    with pytest.raises(ValueError, match="started 8 tasks .* give srun --ntasks-per-node, or --ntasks=1"):
        start_fabric("32-true", 0)
