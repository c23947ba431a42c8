"""`weaksam train smoke.toml`: the whole path, unbroken, and killed at two random points and given again."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from models.bundle_files.manifest import load_bundle
from tests.support.distributed.ranks import run_on_ranks
from training.runs.stage import DONE

REPOSITORY = Path(__file__).resolve().parents[3]
SMOKE = REPOSITORY / "training" / "configs" / "smoke.toml"
SEED = 20240212
STAGES = ("scenes", "cam", "proposer", "proposals", "wsod", "pgt", "detector", "segmenter", "evaluate-segmenter")


def start(run_dir: Path, log: Path) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "weaksam", "train", str(SMOKE), "--out", str(run_dir)]
    environment = {**os.environ, "CUDA_VISIBLE_DEVICES": "", "COLUMNS": "100"}
    with log.open("ab") as stream:
        return subprocess.Popen(command, cwd=REPOSITORY, env=environment, stdout=stream, stderr=stream)


def finish(run_dir: Path, log: Path) -> None:
    assert start(run_dir, log).wait(timeout=1800) == 0, log.read_text()


def progress(run_dir: Path) -> int:
    """Files written and steps logged so far: a clock that a slow machine does not change."""
    # os.walk passes over a folder that is renamed while it looks
    files = [Path(folder, name) for folder, _, names in os.walk(run_dir) for name in names]
    return len(files) + sum(path.read_bytes().count(b"\n") for path in files if path.name == "log.jsonl")


def kill_at(run_dir: Path, log: Path, point: int) -> None:
    process = start(run_dir, log)
    try:
        while progress(run_dir) < point and process.poll() is None:
            time.sleep(0.05)
    finally:
        process.kill()
    assert process.wait() == -signal.SIGKILL, f"ended before it could be killed at {point}: {log.read_text()}"


def finished(run_dir: Path) -> dict[Path, int]:
    return {path: path.stat().st_mtime_ns for path in run_dir.glob(f"*/{DONE}")}


def metrics_of(run_dir: Path) -> Any:
    """The figures by data set and bundle, without the bundles' digests."""
    metrics = json.loads((run_dir / "metrics.json").read_text())
    return {
        data: {bundle: {name: value for name, value in row.items() if name != "bundle"} for bundle, row in rows.items()}
        for data, rows in metrics.items()
    }


@pytest.fixture(scope="module")
def unbroken(tmp_path_factory: pytest.TempPathFactory) -> Path:
    run_dir = tmp_path_factory.mktemp("unbroken")
    finish(run_dir, run_dir.with_suffix(".log"))
    return run_dir


def test_every_stage_leaves_its_folder_and_the_run_its_bundle(unbroken: Path) -> None:
    names = {path.parent.name.rpartition("-")[0] for path in unbroken.glob(f"*/{DONE}")}
    assert names >= set(STAGES)
    bundle = load_bundle(unbroken / "bundle")
    files = {path.name for path in (unbroken / "bundle").iterdir()}
    assert files == {"bundle.json", *(f"{name}.onnx" for name in bundle.graphs)}, "nothing of the run's own"
    assert "detector" in bundle.graphs
    assert bundle.name == "smoke"
    assert json.loads((unbroken / "config.json").read_text())["seed"] == 7
    assert set(json.loads((unbroken / "environment.json").read_text())) >= {"git_revision", "python", "packages"}
    [figures] = metrics_of(unbroken).values()
    assert set(figures) == {"wsod", "detector", "segmenter"}
    assert all(row["images"] == 4 for row in figures.values())
    [losses] = json.loads((unbroken / "losses.json").read_text()).values()
    assert sum(row["objects"] for row in losses["rows"]) == losses["objects"] == figures["segmenter"]["objects"]


def test_the_report_is_one_file_with_everything_in_it(unbroken: Path) -> None:
    page = (unbroken / "report.html").read_text(encoding="utf-8")
    assert not re.search(r"""(src|href)=["'](?!data:|#)""", page)
    for title in (
        "Figures",
        "Where objects are lost",
        "Training: cam",
        "Training: wsod",
        "Training: detector",
        "Images of scenes",
    ):
        assert f"<h2>{title}</h2>" in page
    assert page.index("average precision") < page.index("What to do next") < page.index("Images of scenes")
    assert "naive_ap50" not in page
    assert "of 100 objects have no proposal that covers them" in page
    assert page.count("<img ") >= 4 + 4 * 5
    assert "error rate by normalised loss" in page
    assert (next(unbroken.glob("cam-*")) / "tensorboard").is_dir()


def test_killed_at_two_random_points_it_ends_with_the_same_metrics(unbroken: Path, tmp_path: Path) -> None:
    run_dir, log = tmp_path / "run", tmp_path / "run.log"
    run_dir.mkdir()
    whole = progress(unbroken)
    # the first third is the files of generated pictures
    points = np.sort(np.random.default_rng(SEED).integers(whole * 2 // 5, whole * 9 // 10, size=2))
    for point in points:
        kill_at(run_dir, log, int(point))
        before = finished(run_dir)
    assert before, f"no stage was finished at the kill at {points[1]} of {whole}"
    finish(run_dir, log)

    after = finished(run_dir)
    assert {path: after[path] for path in before} == before, "a finished stage was run again"
    assert metrics_of(run_dir) == metrics_of(unbroken)


def test_two_ranks_run_the_whole_path_and_one_finds_it_done(unbroken: Path, tmp_path: Path) -> None:
    run_dir = tmp_path / "run"
    run_on_ranks(2, "weaksam", "train", SMOKE, "--out", run_dir)

    of_one, of_two = ({path.parent.name.rpartition("-")[0] for path in finished(run)} for run in (unbroken, run_dir))
    assert of_one == of_two
    assert not list(run_dir.glob("wsod-*/roi_features")), "what is done with is removed"
    before, metrics = finished(run_dir), metrics_of(run_dir)
    finish(run_dir, tmp_path / "run.log")
    assert finished(run_dir) == before, "one process takes what two ranks have made"
    assert metrics_of(run_dir) == metrics
