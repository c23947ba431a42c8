from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch

from training.runs.checkpoints import save_checkpoint
from training.runs.run_folder import prepare_run


@dataclass(frozen=True)
class Settings:
    lr: float = 0.1
    sides: tuple[int, ...] = (64, 96)
    weights: str = "none"
    loader_workers: int = 0


def learn_a_step(run: Path) -> None:
    net = torch.nn.Linear(1, 1)
    save_checkpoint(run, net, torch.optim.AdamW(net.parameters()), 1)


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
