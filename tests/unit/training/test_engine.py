from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from training.engine import JsonlLog, prepare_run, save_checkpoint, share_of_batch


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
    monkeypatch.setattr("training.engine.rank_count", lambda: 3)
    assert share_of_batch(6, "batch") == 2
    with pytest.raises(ValueError, match="batch is 8: take a multiple of the 3 ranks"):
        share_of_batch(8, "batch")


@dataclass(frozen=True)
class Settings:
    lr: float = 0.1
    sides: tuple[int, ...] = (64, 96)
    loader_workers: int = 0


def test_a_run_does_not_go_on_under_other_settings(tmp_path: Path) -> None:
    prepare_run(Settings(), tmp_path)
    prepare_run(Settings(lr=0.2), tmp_path)  # nothing has been learnt yet
    net = torch.nn.Linear(1, 1)
    save_checkpoint(tmp_path / "resume.pt", net, torch.optim.AdamW(net.parameters()), 1)
    prepare_run(Settings(lr=0.2, loader_workers=3), tmp_path)
    with pytest.raises(ValueError, match=r"whose lr was 0\.2, and not 0\.1: give another --out"):
        prepare_run(Settings(), tmp_path)
    assert json.loads((tmp_path / "config.json").read_text())["lr"] == 0.2


def test_a_run_does_not_go_on_from_other_inputs(tmp_path: Path) -> None:
    prepare_run(Settings(), tmp_path, {"pictures": "a", "features": "b"})
    net = torch.nn.Linear(1, 1)
    save_checkpoint(tmp_path / "resume.pt", net, torch.optim.AdamW(net.parameters()), 1)
    prepare_run(Settings(), tmp_path, {"pictures": "a", "features": "b"})
    with pytest.raises(ValueError, match="holds a run whose features were others: give another --out"):
        prepare_run(Settings(), tmp_path, {"pictures": "a", "features": "c"})
