from __future__ import annotations

import json
import time
from pathlib import Path

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from training.runs.log import JsonlLog


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


def test_steps_after_the_last_checkpoint_and_a_torn_line_are_logged_anew(tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    killed = JsonlLog(path)
    for step in range(4):
        killed.write(step=step, loss=1.0)
    with path.open("a") as file:
        file.write('{"step": 4, "lo')
    time.sleep(1.1)  # TensorBoard orders its files by the second
    resumed = JsonlLog(path, done=2)
    for step in range(2, 5):
        resumed.write(step=step, loss=0.5)

    rows = [json.loads(line) for line in path.read_text().splitlines()]
    assert [(row["step"], row["loss"]) for row in rows] == [(0, 1.0), (1, 1.0), (2, 0.5), (3, 0.5), (4, 0.5)]
    events = EventAccumulator(str(tmp_path / "tensorboard")).Reload()
    assert [(row.step, row.value) for row in events.Scalars("loss")] == [(0, 1), (1, 1), (2, 0.5), (3, 0.5), (4, 0.5)]
