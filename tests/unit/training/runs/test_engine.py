from __future__ import annotations

import json
import math
import re
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from training.runs.engine import JsonlLog, optimise, prepare_run, save_checkpoint, share_of_batch, start_fabric


def test_a_log_goes_to_json_lines_and_to_tensorboard(tmp_path: Path) -> None:
    log = JsonlLog(tmp_path / "log.jsonl")
    for step in (0, 20):
        log.write(step=step, loss_tags=1.5 - step / 100, rois_by_loss=[1, 2])

    rows = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert [(row["step"], row["loss_tags"], row["rois_by_loss"]) for row in rows] == [
        (0, 1.5, [1, 2]),
        (20, 1.3, [1, 2]),
    ]
    events = EventAccumulator(str(tmp_path / "tensorboard")).Reload()
    assert events.Tags()["scalars"] == ["loss_tags"]
    assert [(row.step, row.value) for row in events.Scalars("loss_tags")] == [(0, 1.5), (20, pytest.approx(1.3))]


def test_a_batch_is_shared_evenly_or_not_at_all(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("training.runs.engine.rank_count", lambda: 3)
    assert share_of_batch(6, "batch") == 2
    with pytest.raises(ValueError, match="batch is 8: take a multiple of the 3 ranks"):
        share_of_batch(8, "batch")


@dataclass(frozen=True)
class Settings:
    lr: float = 0.1
    sides: tuple[int, ...] = (64, 96)
    weights: str = "none"
    loader_workers: int = 0


def learn_a_step(run: Path) -> None:
    net = torch.nn.Linear(1, 1)
    save_checkpoint(run / "resume.pt", net, torch.optim.AdamW(net.parameters()), 1)


def test_a_run_does_not_go_on_under_other_settings(tmp_path: Path) -> None:
    prepare_run(Settings(), tmp_path)
    prepare_run(Settings(lr=0.2), tmp_path)  # nothing has been learnt yet
    learn_a_step(tmp_path)
    prepare_run(Settings(lr=0.2, loader_workers=3), tmp_path)
    with pytest.raises(ValueError, match=r"whose lr was 0\.2, and not 0\.1: give another --out"):
        prepare_run(Settings(), tmp_path)
    assert json.loads((tmp_path / "config.json").read_text())["lr"] == 0.2


def test_a_run_does_not_go_on_from_other_inputs(tmp_path: Path) -> None:
    prepare_run(Settings(), tmp_path, {"pictures": "a", "features": "b"})
    learn_a_step(tmp_path)
    prepare_run(Settings(), tmp_path, {"pictures": "a", "features": "b"})
    with pytest.raises(ValueError, match="holds a run whose features were others: give another --out"):
        prepare_run(Settings(), tmp_path, {"pictures": "a", "features": "c"})


def test_weights_may_lie_elsewhere_when_a_run_goes_on_but_not_be_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    weights, moved, run = tmp_path / "a.safetensors", tmp_path / "b.safetensors", tmp_path / "run"
    for path in (weights, moved):
        path.write_text("learnt")
    prepare_run(Settings(weights="a.safetensors"), run)
    learn_a_step(run)
    for spelling in (weights, moved, "a.safetensors"):
        prepare_run(Settings(weights=str(spelling)), run)
    weights.write_text("learnt anew")
    with pytest.raises(ValueError, match="holds a run whose settings were others: give another --out"):
        prepare_run(Settings(weights="a.safetensors"), run)


def test_a_run_of_an_earlier_version_goes_on_under_its_settings_alone(tmp_path: Path) -> None:
    """These recorded no digest of the settings."""
    prepare_run(Settings(), tmp_path, {"pictures": "a"})
    (tmp_path / "inputs.json").write_text(json.dumps({"pictures": "a"}))
    learn_a_step(tmp_path)
    with pytest.raises(ValueError, match=r"whose lr was 0\.1, and not 0\.2"):
        prepare_run(Settings(lr=0.2), tmp_path, {"pictures": "a"})
    prepare_run(Settings(), tmp_path, {"pictures": "a"})


def test_a_run_can_be_prepared_where_there_is_no_git(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    prepare_run(Settings(), tmp_path / "run")
    environment = json.loads((tmp_path / "run" / "environment.json").read_text())
    assert (environment["git_revision"], environment["git_modified"]) == ("unknown", None)


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


def test_a_step_goes_down_the_sum_of_the_losses_by_a_gradient_cut_to_its_most() -> None:
    fabric = start_fabric("32-true", 0)
    net = torch.nn.Linear(2, 1, bias=False)
    model, optimizer = fabric.setup(net, torch.optim.SGD(net.parameters(), lr=1.0))
    before = net.weight.detach().clone()
    inputs = torch.tensor([[3.0, 0.0], [0.0, 4.0]], device=fabric.device)
    loss_a, loss_b = model(inputs)[:, 0]
    optimise(fabric, model, optimizer, {"loss_a": loss_a, "loss_b": loss_b}, 0, 1.0)
    torch.testing.assert_close(before - net.weight, torch.tensor([[0.6, 0.8]], device=fabric.device))


def test_a_loss_that_is_no_number_is_named_before_it_reaches_the_weights() -> None:
    fabric = start_fabric("32-true", 0)
    net = torch.nn.Linear(1, 1)
    model, optimizer = fabric.setup(net, torch.optim.SGD(net.parameters(), lr=1.0))
    before = [parameter.detach().clone() for parameter in net.parameters()]
    loss = model(torch.ones(1, 1, device=fabric.device)).sum()
    losses = {"loss_tags": 0 * loss + 2, "loss_ground": loss * math.nan}
    terms = re.escape("not finite at step 7: {'loss_tags': 2.0, 'loss_ground': nan}")
    with pytest.raises(FloatingPointError, match=terms):
        optimise(fabric, model, optimizer, losses, 7, 1.0)
    assert all(torch.equal(now, then) for now, then in zip(net.parameters(), before, strict=True))
