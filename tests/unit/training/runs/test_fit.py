"""The training loop on a network of one weight."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch

from training.runs.checkpoints import resume_checkpoint
from training.runs.devices import start_fabric
from training.runs.fit import StepOutput, Task, fit


@dataclass(frozen=True)
class Schedule:
    lr: float = 1.0
    warmup_steps: int = 0
    checkpoint_steps: int = 2


def inputs_from(done: int, steps: int) -> Iterator[torch.Tensor]:
    """Inputs [2,2] of each step: a function of the step alone."""
    yield from (torch.tensor([[3.0, 0.0], [0.0, 4.0]]) + step for step in range(done, steps))


def two_losses(model: Any, inputs: torch.Tensor, step: int) -> StepOutput:
    loss_a, loss_b = model(inputs)[:, 0]
    return StepOutput({"loss_a": loss_a, "loss_b": loss_b}, {"asked": step})


def task(steps: int, *, weights: Mapping[str, float] | None = None, max_norm: float = 1.0, log_steps: int = 1) -> Task:
    torch.manual_seed(0)
    net = torch.nn.Linear(2, 1, bias=False)
    return Task(
        name="test",
        net=net,
        module=net,
        optimizer=torch.optim.SGD(net.parameters(), lr=1.0),
        steps=steps,
        batches=lambda done: inputs_from(done, steps),
        compute=two_losses,
        loss_terms=("loss_a", "loss_b"),
        loss_weights=weights or {},
        max_gradient_norm=max_norm,
        log_steps=log_steps,
    )


def run(what: Task, folder: Path, schedule: Schedule | None = None) -> torch.Tensor:
    """Train on the CPU and return what was learnt [1,2]."""
    fit(start_fabric("32-true", 0), what, schedule or Schedule(), folder)
    return next(what.net.parameters()).detach().cpu()


def log_of(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]


def test_a_step_goes_down_the_sum_of_the_losses_by_a_gradient_cut_to_its_norm(tmp_path: Path) -> None:
    what = task(1)
    before = next(what.net.parameters()).detach().clone()
    torch.testing.assert_close(before - run(what, tmp_path), torch.tensor([[0.6, 0.8]]))


def test_weights_count_in_the_step_and_not_in_the_log(tmp_path: Path) -> None:
    what = task(1, weights={"loss_a": 0.5}, max_norm=100.0)
    before = next(what.net.parameters()).detach().clone()
    torch.testing.assert_close(before - run(what, tmp_path), torch.tensor([[1.5, 4.0]]))
    (row,) = log_of(tmp_path)
    first, second = (before @ next(inputs_from(0, 1)).T)[0].tolist()
    assert (row["loss_a"], row["loss_b"]) == (pytest.approx(first, abs=1e-5), pytest.approx(second, abs=1e-5))
    assert row["loss"] == pytest.approx(0.5 * first + second, abs=2e-5)
    assert row["asked"] == 0


def test_terms_that_are_not_those_of_the_settings_are_a_fault_of_ours(tmp_path: Path) -> None:
    what = Task(**{**vars(task(1)), "loss_terms": ("loss_a", "loss_c")})
    with pytest.raises(AssertionError, match="weights are checked against"):
        run(what, tmp_path)


def test_a_loss_that_is_no_number_is_named_before_it_reaches_the_weights(tmp_path: Path) -> None:
    def broken(model: Any, inputs: torch.Tensor, step: int) -> StepOutput:
        loss = model(inputs).sum()
        return StepOutput({"loss_a": 0 * loss + 2, "loss_b": loss * (math.nan if step else 1)})

    what = task(2)
    learnt = run(task(1), tmp_path / "one")
    what = Task(**{**vars(what), "compute": broken})
    terms = re.escape("not finite at step 1: {'loss_a': 2.0, 'loss_b': nan}")
    with pytest.raises(FloatingPointError, match=terms):
        run(what, tmp_path / "two")
    torch.testing.assert_close(next(what.net.parameters()).detach().cpu(), learnt)


def test_a_training_goes_on_from_its_checkpoint_and_ends_the_same(tmp_path: Path) -> None:
    whole = task(5, log_steps=2)
    unbroken = run(whole, tmp_path / "whole")
    assert [row["step"] for row in log_of(tmp_path / "whole")] == [0, 2, 4]

    def killed(done: int) -> Iterator[torch.Tensor]:
        yield from list(inputs_from(done, 5))[:3]
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(Task(**{**vars(task(5)), "batches": killed}), tmp_path / "broken")
    probe = task(5)
    assert resume_checkpoint(tmp_path / "broken", probe.net, probe.optimizer) == 2
    torch.testing.assert_close(run(task(5), tmp_path / "broken"), unbroken)


def test_the_last_step_is_kept_for_what_comes_after_the_training(tmp_path: Path) -> None:
    learnt = run(task(5), tmp_path)
    probe = task(5)
    assert resume_checkpoint(tmp_path, probe.net, probe.optimizer) == 5
    torch.testing.assert_close(run(task(5), tmp_path), learnt, rtol=0, atol=0)
    assert [row["step"] for row in log_of(tmp_path)] == [0, 1, 2, 3, 4]
