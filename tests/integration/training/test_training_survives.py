"""Trainings that are killed at random moments, and trainings and exports whose disk runs full: nothing lost or torn."""

from __future__ import annotations

import json
import logging
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from models.bundle import DEFAULT_BUNDLE, MANIFEST
from models.bundle_files.manifest import load_bundle
from models.run_folder import LOG, RESUME
from tests.support.faults.small_disk import small_disk
from tests.support.trainings.tiny_runs import CONFIGS, make_scenes

REPOSITORY = Path(__file__).resolve().parents[3]
KILLS = int(os.environ.get("WEAKSAM_TEST_TRAINING_KILLS", "5"))
EXPORT_KILLS = min(KILLS, 3)
SEED = 2026
LOGGER = logging.getLogger(__name__)
STEPS_A_KILL = 12
STEPS = KILLS * STEPS_A_KILL
# Of a kill's steps a third at most is waited for, and a fast machine does not make the others in this time.
MAX_DELAY_S = 0.15
SETTINGS = [
    "side_px=64",
    f"steps={STEPS}",
    "batch=2",
    "backbone_weights=none",
    "precision=32-true",
    "warmup_steps=2",
    "loader_workers=0",
    "checkpoint_steps=1",
]


@pytest.fixture(scope="module")
def scenes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_scenes(tmp_path_factory.mktemp("scenes") / "data")


def train_command(scenes: Path, out: Path, *settings: str) -> list[str]:
    overrides = [word for setting in (*SETTINGS, *settings) for word in ("--set", setting)]
    start = [sys.executable, "-m", "weaksam", "train", "cam", "--config", str(CONFIGS / "stages/cam.toml")]
    return [*start, "--data", str(scenes), "--out", str(out), *overrides]


def start(command: list[str]) -> subprocess.Popen[str]:
    # One thread: sums come in one order, so that results can be compared bit by bit.
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
    return subprocess.Popen(
        command, cwd=REPOSITORY, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def run(command: list[str]) -> tuple[int, str]:
    """Return the exit status and what was written to stderr."""
    process = start(command)
    _, errors = process.communicate(timeout=600)
    return process.returncode, errors


def steps_logged(out: Path) -> list[int]:
    return [json.loads(line)["step"] for line in (out / LOG).read_text(encoding="utf-8").splitlines()]


def checkpoint_time(out: Path) -> int:
    return (out / RESUME).stat().st_mtime_ns if (out / RESUME).exists() else 0


def kill_after(command: list[str], out: Path, checkpoints: int, delay_s: float) -> bool:
    """Kill a training `delay_s` after so many more checkpoints; return whether that was before its end."""
    process, seen = start(command), {checkpoint_time(out)}
    while process.poll() is None and len(seen) <= checkpoints:
        seen.add(checkpoint_time(out))
        time.sleep(0.002)
    time.sleep(delay_s)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    return process.returncode == -signal.SIGKILL


def test_random_kills_end_with_the_weights_and_the_log_of_an_unbroken_training(scenes: Path, tmp_path: Path) -> None:
    draw = random.Random(SEED)
    broken, whole = tmp_path / "broken", tmp_path / "whole"
    killed_at = []
    for _ in range(KILLS):
        more, delay_s = draw.randint(1, STEPS_A_KILL // 3), draw.uniform(0, MAX_DELAY_S)
        assert kill_after(train_command(scenes, broken), broken, more, delay_s), "it ended before its kill"
        assert not (broken / "cam.safetensors").exists()
        killed_at.append(torch.load(broken / RESUME, weights_only=True)["step"])  # raises if it is torn
    for out in (broken, whole):
        status, errors = run(train_command(scenes, out))
        assert status == 0, errors
    resumed, unbroken = load_file(broken / "cam.safetensors"), load_file(whole / "cam.safetensors")
    assert resumed.keys() == unbroken.keys()
    assert [name for name in unbroken if not resumed[name].equal(unbroken[name])] == []
    assert steps_logged(broken) == steps_logged(whole), "a step is logged twice, or not at all"
    assert {path.name for path in broken.iterdir()} == {path.name for path in whole.iterdir()}
    LOGGER.info("killed after steps %s of %d; %d tensors equal bit by bit", killed_at, STEPS, len(unbroken))


def export_command(out: Path, version: str) -> list[str]:
    """Export the default bundle under another name, as somebody with an official SAM would."""
    config = REPOSITORY / "deploy" / "configs" / "default.toml"
    names = ["--config", str(config), "--set", "name=other", "--set", f'version="{version}"']
    return [sys.executable, "-m", "weaksam", "export", "--cam", str(DEFAULT_BUNDLE), "--out", str(out), *names]


def files_in(folder: Path) -> int:
    try:
        return len(list(folder.iterdir()))
    except FileNotFoundError:  # it comes and goes while we look
        return 0


def test_an_export_killed_at_random_leaves_a_whole_bundle_or_none(tmp_path: Path) -> None:
    draw, out = random.Random(SEED), tmp_path / "bundle"
    shutil.copytree(DEFAULT_BUNDLE, out)
    versions, found, kills = {load_bundle(out).version, None}, list[str | None](), 0
    for version in map(str, range(EXPORT_KILLS)):
        process, files = start(export_command(out, version)), draw.randint(0, len(list(DEFAULT_BUNDLE.glob("*.onnx"))))
        while process.poll() is None and files_in(out / ".draft") < files + 1:
            time.sleep(0.0005)
        process.send_signal(signal.SIGKILL)
        process.communicate()
        kills += process.returncode == -signal.SIGKILL
        versions.add(version)
        found.append(load_bundle(out).version if (out / MANIFEST).exists() else None)
        assert found[-1] in versions
    assert kills, "every export ended before its kill"
    assert run(export_command(out, "last"))[0] == 0
    assert load_bundle(out).version == "last"
    assert not (out / ".draft").exists()
    LOGGER.info("%d killed; then the bundle was of version %s, or there was none", kills, found)


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A file system that one checkpoint fits on, and not two at once."""
    yield from small_disk(tmp_path / "disk", "40m")


@pytest.fixture
def tiny_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system that the default bundle does not fit on twice."""
    yield from small_disk(
        tmp_path / "disk", f"{sum(path.stat().st_size for path in DEFAULT_BUNDLE.iterdir()) * 3 // 2}"
    )


def test_a_full_disk_is_one_sentence_and_the_training_goes_on_when_there_is_room(
    scenes: Path, tmp_path: Path, disk: Path
) -> None:
    out = disk / "out"
    status, errors = run(train_command(scenes, out))
    assert status == 2, errors
    assert errors.splitlines()[-1] == f"weaksam: {out}: No space left on device: make room, then give the same command"
    assert "Traceback" not in errors
    assert checkpoint_time(out), "the first checkpoint stays"
    assert not [path.name for path in out.iterdir() if path.name.startswith(".")], "a draft is left"

    moved = shutil.copytree(out, tmp_path / "room")
    for folder in (moved, tmp_path / "whole"):
        status, errors = run(train_command(scenes, folder))
        assert status == 0, errors
    resumed, unbroken = (load_file(folder / "cam.safetensors") for folder in (moved, tmp_path / "whole"))
    assert [name for name in unbroken if not resumed[name].equal(unbroken[name])] == []
    assert steps_logged(moved) == steps_logged(tmp_path / "whole")


def test_an_export_onto_a_full_disk_leaves_the_bundle_that_was_there(tiny_disk: Path) -> None:
    out = tiny_disk / "bundle"
    shutil.copytree(DEFAULT_BUNDLE, out)
    before = load_bundle(out).digest
    files = sorted(path.name for path in out.iterdir())
    status, errors = run(export_command(out, "9"))
    assert status == 2, errors
    assert errors.splitlines()[-1] == f"weaksam: {out}: No space left on device: make room, then give the same command"
    assert "Traceback" not in errors
    assert sorted(path.name for path in out.iterdir()) == files
    assert load_bundle(out).digest == before


def test_an_export_into_an_empty_folder_of_a_full_disk_leaves_no_bundle(tiny_disk: Path) -> None:
    (tiny_disk / "filler").write_bytes(bytes(os.statvfs(tiny_disk).f_bavail * os.statvfs(tiny_disk).f_frsize // 2))
    out = tiny_disk / "bundle"
    status, errors = run(export_command(out, "9"))
    assert (status, "Traceback" in errors) == (2, False), errors
    assert list(out.iterdir()) == []
    assert not (out / MANIFEST).exists()
