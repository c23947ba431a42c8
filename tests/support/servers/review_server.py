"""A labelling run to review, and `weaksam review` over it in a process of its own."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import Image

from tests.support.fakes.answers import detect_result
from tests.support.fakes.fake_service import HEIGHT_PX, LABELS, WIDTH_PX
from weaksam.labelling.outputs import Outcome, write_files
from weaksam.schemas import BundleInfo, DetectResult

TAGS = {
    "a/clear.png": ["Bolt"],
    "b/two.png": ["Bolt", "Nut"],
    "c/wrench.png": ["Wrench"],
    "d/two.png": ["Wrench", "Nut"],
}


def write_labelled(folder: Path, tags: dict[str, list[str]] = TAGS, **options: Any) -> None:
    """Write ``photos`` and ``labelled`` as after a run of `weaksam label`; images of two tags are doubtful."""
    for name in tags:
        path = folder / "photos" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (WIDTH_PX, HEIGHT_PX), "gray").save(path)

    def result(image: str) -> DetectResult:
        return detect_result(image.encode(), tags[image])

    bundle = BundleInfo(name="fake", version="1", digest="d" * 64)
    (folder / "labelled").mkdir()
    write_files(Outcome(LABELS, bundle, options, sorted(tags), frozenset(tags), (), result), folder / "labelled")


@dataclass(frozen=True)
class ReviewServer:
    """A running `weaksam review`."""

    url: str
    process: subprocess.Popen[str]


@contextmanager
def review_server(folder: Path, *more: str, env: dict[str, str] | None = None) -> Iterator[ReviewServer]:
    """Start a review of ``folder/labelled``; it is stopped as by Ctrl-C, unless it has ended."""
    command = [sys.executable, "-u", "-m", "weaksam", "review", str(folder / "labelled"), "--port", "0"]
    command += ["--photos", str(folder / "photos"), "--out", str(folder / "reviewed"), *more]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=env)
    assert process.stdout is not None
    try:
        first = process.stdout.readline()
        url = re.search(r"http://\S+", first)
        assert url is not None, first + process.stdout.read()
        yield ReviewServer(url[0], process)
    finally:
        process.terminate()
        process.wait(timeout=30)
        process.stdout.close()
