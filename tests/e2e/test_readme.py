"""The README's commands, executed as they stand against a real server; and `make demo`'s command."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from PIL import Image

from tests.support.servers.free_port import free_port

START_TIMEOUT_S = 120.0


@pytest.fixture
def workplace(tmp_path: Path, repository_dir: Path) -> Path:
    """A folder where `samples/` lies as in the repository and where files may be written."""
    (tmp_path / "samples").symlink_to(repository_dir / "samples")
    return tmp_path


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    """`weaksam serve` on the default bundle, ready to answer; yields its port."""
    port = free_port()
    command = [sys.executable, "-m", "weaksam", "serve", "--port", str(port)]
    process = subprocess.Popen(command, stderr=subprocess.DEVNULL)
    try:
        wait_until_ready(f"http://127.0.0.1:{port}/readyz", process)
        yield port
    finally:
        process.terminate()
        process.wait(timeout=30)


def wait_until_ready(url: str, process: subprocess.Popen[bytes]) -> None:
    give_up = time.monotonic() + START_TIMEOUT_S
    while time.monotonic() < give_up:
        assert process.poll() is None, "the server ended before it was ready"
        try:
            if httpx.get(url).is_success:
                return
        except httpx.TransportError:
            pass
        time.sleep(0.1)
    raise AssertionError(f"{url} is not ready after {START_TIMEOUT_S} s")


@pytest.fixture(scope="module")
def readme(repository_dir: Path) -> str:
    return (repository_dir / "README.md").read_text(encoding="utf-8")


def commands(readme: str, pattern: str, port: int) -> list[str]:
    """Return the lines of the README that begin with `pattern`, for the server at `port`."""
    return [line.replace(":8000", f":{port}") for line in re.findall(f"^{pattern}.*$", readme, re.MULTILINE)]


def test_the_requests_get_what_the_readme_shows(port: int, workplace: Path, readme: str) -> None:
    as_json, as_image = commands(readme, "curl .+/detect ", port)
    [block] = re.findall(r"^```json\n(.+?)^```$", readme, re.MULTILINE | re.DOTALL)
    shown, result = json.loads(block), json.loads(shell(as_json, workplace))
    assert [row["label"] for row in result["tags"]] == ["Tape", "PaintChip", "Wrench"]
    assert {(row["label"], row["status"]) for row in shown["tags"]} == {("Tape", "found"), ("Wrench", "not_found")}
    assert_shortened(shown["tags"], result["tags"], same=("tag", "label", "status", "stage", "count"))
    assert_shortened(shown["detections"], result["detections"], same=("label", "source"))
    assert shown["image"].keys() == result["image"].keys()
    for detection in result["detections"]:
        assert detection["mask"]["size"] == [result["image"]["height"], result["image"]["width"]]

    shell(as_image, workplace)
    assert_drawn(workplace / "overlay.png", workplace / "samples" / "taxiway.jpg")


def assert_shortened(shown: list[dict[str, Any]], real: list[dict[str, Any]], same: tuple[str, ...]) -> None:
    """Raise AssertionError unless each shown row stands for a real one, with some of its members."""
    for row in shown:
        [whole] = (other for other in real if other["label"] == row["label"])
        assert row.keys() <= whole.keys()
        assert {name: row[name] for name in same if name in row} == {name: whole[name] for name in same if name in row}


def test_the_samples_are_labelled(port: int, workplace: Path, readme: str) -> None:
    [command] = commands(readme, "weaksam label ", port)
    shell(f"{sys.executable} -m {command}", workplace)
    assert len(json.loads((workplace / "labelled" / "dataset.json").read_text())["images"]) == 5
    assert (workplace / "labelled" / "failures.csv").read_text().count("\n") == 1
    [command] = commands(readme, "weaksam convert ", port)
    shell(f"{sys.executable} -m {command}", workplace)
    assert len(list((workplace / "yolo" / "labels").iterdir())) == 5


def test_the_demo_draws_what_it_found(workplace: Path, repository_dir: Path) -> None:
    makefile = (repository_dir / "Makefile").read_text(encoding="utf-8")
    demo = re.search(r"weaksam (detect .+ --overlay demo.png)$", makefile, re.MULTILINE)
    assert demo is not None
    command = [
        sys.executable,
        "-m",
        "weaksam",
        *shlex.split(demo[1]),
        "--json",
        "demo.json",
    ]
    ended = subprocess.run(command, cwd=workplace, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr
    assert_drawn(workplace / "demo.png", workplace / "samples" / "taxiway.jpg")
    found = json.loads((workplace / "demo.json").read_text())["detections"]
    assert found
    assert all(detection["label"] in ended.stdout for detection in found)


def test_an_unknown_tag_is_one_sentence_with_the_nearest(workplace: Path) -> None:
    command = [
        sys.executable,
        "-m",
        "weaksam",
        "detect",
        "samples/runway.jpg",
        "--tags",
        "wrenh",
    ]
    ended = subprocess.run(command, cwd=workplace, capture_output=True, text=True, check=False)
    assert ended.returncode == 2
    assert ended.stderr.startswith("weaksam: tags: 'wrenh' is no label, the nearest are Wrench")
    assert ended.stderr.count("\n") == 1


def shell(command: str, folder: Path) -> str:
    return subprocess.run(["bash", "-c", command], cwd=folder, capture_output=True, text=True, check=True).stdout


def assert_drawn(image: Path, original: Path) -> None:
    with Image.open(image) as drawn, Image.open(original) as before:
        assert drawn.format == "PNG"
        assert drawn.size == before.size
        changed = np.any(np.abs(np.asarray(drawn.convert("RGB"), int) - np.asarray(before, int)) > 8, axis=2)
    assert 0.001 < changed.mean() < 0.9
