"""The README's quick start, executed as it stands against a real server; and `make demo`'s command."""

from __future__ import annotations

import json
import re
import shlex
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import numpy as np
import pytest
from PIL import Image

START_TIMEOUT_S = 120.0


@pytest.fixture
def workplace(tmp_path: Path, repository_dir: Path) -> Path:
    """A folder where `samples/` lies as in the repository and where files may be written."""
    (tmp_path / "samples").symlink_to(repository_dir / "samples")
    return tmp_path


@pytest.fixture
def port(repository_dir: Path, default_bundle_dir: Path) -> Iterator[int]:
    """`weaksam serve` on the default bundle, ready to answer; yields its port."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
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


def quick_start_curls(repository_dir: Path) -> list[str]:
    readme = (repository_dir / "README.md").read_text(encoding="utf-8")
    section = readme.partition("## Quick start")[2].partition("\n## ")[0]
    return re.findall(r"^curl .+$", section, re.MULTILINE)


def test_the_quick_start_answers_with_boxes_and_masks(port: int, workplace: Path, repository_dir: Path) -> None:
    as_json, as_picture = quick_start_curls(repository_dir)
    answer = json.loads(shell(as_json.replace(":8000", f":{port}"), workplace))
    tags = [row["label"] for row in answer["tags"]]
    assert tags == ["FuelCap", "Wire", "AdjustableWrench"]
    assert answer["detections"]
    for detection in answer["detections"]:
        assert detection["label"] in tags
        assert detection["mask"]["size"] == [answer["image"]["height"], answer["image"]["width"]]
    assert answer["bundle"]["name"]

    shell(as_picture.replace(":8000", f":{port}"), workplace)
    assert_drawn(workplace / "overlay.png", workplace / "samples" / "runway.jpg")


def test_the_demo_draws_what_it_found(workplace: Path, repository_dir: Path, default_bundle_dir: Path) -> None:
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
    assert_drawn(workplace / "demo.png", workplace / "samples" / "runway.jpg")
    found = json.loads((workplace / "demo.json").read_text())["detections"]
    assert found
    assert all(detection["label"] in ended.stdout for detection in found)


def test_an_unknown_tag_is_one_sentence_with_the_nearest(
    workplace: Path, repository_dir: Path, default_bundle_dir: Path
) -> None:
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


def assert_drawn(picture: Path, original: Path) -> None:
    with Image.open(picture) as drawn, Image.open(original) as before:
        assert drawn.format == "PNG"
        assert drawn.size == before.size
        changed = np.any(np.abs(np.asarray(drawn.convert("RGB"), int) - np.asarray(before, int)) > 8, axis=2)
    assert 0.001 < changed.mean() < 0.9
