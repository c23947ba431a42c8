"""docs/training/train-your-own.md, executed from its first command to its last on small generated pictures."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from typer.testing import CliRunner

from tests.support.servers.free_port import free_port
from training.scenes.generate import generate_scenes
from weaksam.cli import main as command_line

START_TIMEOUT_S = 120.0
PAGE = "docs/training/train-your-own.md"
# Nothing is learnt in so few steps; the commands, and what they hand to each other, are those of the page.
SMALL = ["side_px=64", "precision=32-true", "warmup_steps=1"]
TINY = {
    "train cam": [*SMALL, "steps=4", "batch=2", "backbone_weights=none", "loader_workers=0"],
    "train wsod": [*SMALL, "subsample=1", "epochs=1", "batch=4"],
    "train detector": [*SMALL, "steps=2", "batch=2", "train_sides_px=[64]", "loader_workers=0"],
    "export": ["prompts.grid_sides=[4]"],
}
TINY["train training/configs/own.toml"] = [
    "bundle.prompts.grid_sides=[4]",
    "bundle.prompts.max_prompts=24",
    "report.best=1",
    "report.worst=1",
    *(f"{name}.{text}" for name in ("cam", "wsod", "detector") for text in TINY[f"train {name}"]),
]


@pytest.fixture(scope="module")
def lines() -> list[str]:
    """Every line of the page's shell blocks, in order."""
    page = (Path(__file__).parents[2] / PAGE).read_text(encoding="utf-8")
    blocks = re.findall(r"^```sh\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)
    return [line for block in blocks for line in block.splitlines()]


@pytest.fixture(scope="module")
def workplace(tmp_path_factory: pytest.TempPathFactory, repository_dir: Path) -> Path:
    """The page's folder of tagged pictures, a data set with boxes, and the repository's configs."""
    folder = tmp_path_factory.mktemp("own")
    list(generate_scenes(folder / "measured", 24, 5, (96, 128)))
    shutil.copytree(folder / "measured" / "JPEGImages", folder / "photos")
    rows = (folder / "measured" / "tags.csv").read_text().replace("JPEGImages/", "")
    first = rows.splitlines()[1].partition(",")[0]
    (folder / "photos" / first).rename(folder / "photos" / "bench-001.jpg")
    (folder / "photos" / "tags.csv").write_text(rows.replace(first, "bench-001.jpg"))
    for name in ("training", "deploy", "models"):
        (folder / name).symlink_to(repository_dir / name)
    return folder


@pytest.fixture(scope="module")
def outputs(lines: list[str], workplace: Path) -> dict[str, str]:
    """What each command of the page printed; the server's own are run by the test of the swap."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(workplace)
        return {line: _run(line) for line in lines if line.startswith("weaksam ") and not _is_serve(line)}


def _run(line: str) -> str:
    arguments = shlex.split(line)[1:]
    for name, settings in TINY.items():
        if line.startswith(f"weaksam {name} "):
            arguments += [f"--set={text}" for text in settings]
    if "--tags" in arguments:
        # The page's picture shows a wrench and a bolt, the generated one something else.
        arguments[arguments.index("--tags") + 1] = _tags_of("bench-001.jpg")
    ended = CliRunner(env={"COLUMNS": "160"}).invoke(command_line.app, arguments, catch_exceptions=False)
    assert ended.exit_code == 0, f"{line}\n{ended.output}"
    return ended.output


def _tags_of(picture: str) -> str:
    rows = Path("photos", "tags.csv").read_text().splitlines()
    return next(row.partition(",")[2] for row in rows if row.startswith(f"{picture},")).replace(";", ",")


def _is_serve(line: str) -> bool:
    return line.startswith("weaksam serve ")


def _output(outputs: dict[str, str], beginning: str) -> str:
    return next(text for line, text in outputs.items() if line.startswith(beginning))


def test_the_folder_is_read_whole(outputs: dict[str, str]) -> None:
    assert "photos: 24 images" in _output(outputs, "weaksam data check")


def test_the_bundle_holds_the_users_classes_and_their_thresholds(outputs: dict[str, str], workplace: Path) -> None:
    tags = (workplace / "photos" / "tags.csv").read_text().splitlines()[1:]
    classes = {tag for row in tags for tag in row.partition(",")[2].split(";")}
    manifest = json.loads((workplace / "bundles" / "1" / "bundle.json").read_text())
    assert {label["name"] for label in manifest["labels"]} == classes
    assert len(set(manifest["thresholds"]["classifier"])) > 1, "thresholds are one for each class"
    shown = [line.replace("│", " ").split() for line in _output(outputs, "weaksam bundle show").splitlines()]
    for label, *thresholds in zip(
        manifest["labels"], manifest["thresholds"]["classifier"], manifest["thresholds"]["score"], strict=True
    ):
        assert [label["name"], *(f"{value:.3f}" for value in thresholds)] in shown
    assert "it makes proposals" in _output(outputs, "weaksam bundle check runs/proposer").lower()
    assert set(json.loads((workplace / "bundles" / "2" / "bundle.json").read_text())["graphs"]) >= {"wsod", "detector"}
    assert "mine 2 is whole" in _output(outputs, "weaksam bundle check bundles/2")


def test_one_command_ends_with_a_bundle_and_pictures_of_the_way(outputs: dict[str, str], workplace: Path) -> None:
    run = workplace / "runs" / "mine"
    manifest = json.loads((run / "bundle" / "bundle.json").read_text())
    assert (manifest["name"], set(manifest["graphs"]) >= {"cam", "wsod", "detector"}) == ("mine", True)
    page = (run / "report.html").read_text()
    titles = re.findall(r"<h2>(.*?)</h2>", page)
    assert titles == [
        "Images of val",
        "Where objects are lost",
        "Figures",
        *(f"Training: {stage}" for stage in ("cam", "wsod", "pgt", "detector")),
        "What the words mean",
        "Settings and environment",
    ]
    shown = page.partition("<h2>Images of val</h2>")[2].partition("<h2>")[0]
    assert shown.count("<img ") == 2 * 5, "two pictures, each with maps, prompts, proposals, PGT and prediction"
    assert "instances per image" in page
    assert json.loads((run / "metrics.json").read_text()) == {}, "there are no boxes to measure on"


def test_it_is_measured_and_looked_at(outputs: dict[str, str], workplace: Path) -> None:
    report = json.loads((workplace / "runs" / "evaluation.json").read_text())
    assert report["bundle"]["name"] == "mine"
    assert 0 <= report["ap50_tagged"] <= 1
    proposals = json.loads((workplace / "runs" / "proposals.json").read_text())
    assert set(proposals["ways"]) == {"cam", "map_or_grid", "both"}
    assert (workplace / "found.png").read_bytes().startswith(b"\x89PNG")


@pytest.fixture
def server(
    outputs: dict[str, str], lines: list[str], workplace: Path, repository_dir: Path
) -> Iterator[tuple[subprocess.Popen[bytes], str]]:
    """`weaksam serve` as the page starts it, on a free port."""
    port = str(free_port())
    link, command = lines[(at := next(i for i, line in enumerate(lines) if _is_serve(line))) - 1 : at + 1]
    subprocess.run(shlex.split(link), cwd=workplace, check=True)
    arguments = [port if word == "8000" else word for word in shlex.split(command)[1:]]
    process = subprocess.Popen(
        [sys.executable, "-m", "weaksam", *arguments],
        cwd=workplace,
        stderr=subprocess.DEVNULL,
    )
    try:
        yield process, f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(timeout=60)


def test_the_next_bundle_is_swapped_in_without_a_stop(
    server: tuple[subprocess.Popen[bytes], str], lines: list[str], workplace: Path
) -> None:
    process, url = server
    assert _served_version(url, "1") == {"name": "mine", "version": "1"}
    link = [line for line in lines if line.startswith("ln ")][-1]
    subprocess.run(["bash", "-ec", link], cwd=workplace, check=True)
    hang_up = next(line for line in lines if "-HUP" in line)
    subprocess.run(["bash", "-ec", hang_up], env={**os.environ, "PID": str(process.pid)}, check=True)
    assert _served_version(url, "2") == {"name": "mine", "version": "2"}
    assert process.poll() is None


def _served_version(url: str, wanted: str) -> dict[str, Any]:
    """Name and version of the bundle that is served, once it is `wanted` or the patience is at its end."""
    give_up = time.monotonic() + START_TIMEOUT_S
    found: dict[str, Any] = {}
    while time.monotonic() < give_up and found.get("version") != wanted:
        time.sleep(0.1)
        try:
            if httpx.get(f"{url}/readyz").is_success:
                bundle = httpx.get(f"{url}/labels").json()["bundle"]
                found = {name: bundle[name] for name in ("name", "version")}
        except httpx.TransportError:
            continue
    return found
