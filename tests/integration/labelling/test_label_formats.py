"""`weaksam label --masks` and `--format`: further formats beside the run's own files."""

from __future__ import annotations

import itertools
import json
import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx
import pytest
from typer.testing import CliRunner, Result

from tests.support.bundles.service_parts import BLUE, RED
from tests.support.bundles.tiny_bundle import encoded, picture
from weaksam.cli import main as command_line
from weaksam.formats.convert import convert_inside

Label = Callable[..., Result]


@pytest.fixture
def label(tiny_service: httpx.Client, tmp_path: Path) -> Label:
    """Runs the command on two images, with further options."""
    for name, colour in (("red-bolt", RED), ("blue-wrench", BLUE)):
        (tmp_path / "in" / name).mkdir(parents=True)
        (tmp_path / "in" / name / "a.png").write_bytes(encoded(picture(((8, 8, 24, 24), colour))))

    def run(*options: str) -> Result:
        start = ["label", str(tmp_path / "in"), "--tags-from", "folder", "--out", str(tmp_path / "out")]
        return CliRunner().invoke(command_line.app, [*start, "--server", str(tiny_service.base_url), *options])

    return run


def test_formats_lie_beside_the_run(label: Label, tmp_path: Path) -> None:
    ended = label("--masks", "polygon", "--format", "yolo-seg", "--format", "cvat", "--min-fidelity", "1")
    assert ended.exit_code == 0, ended.output
    out = tmp_path / "out"
    polygons = json.loads((out / "coco-polygons" / "dataset.json").read_text())
    assert [len(row["segmentation"][0]) for row in polygons["annotations"]] == [8, 8], "squares"
    assert (out / "yolo-seg" / "labels" / "red-bolt" / "a.txt").is_file()
    assert (out / "cvat" / "annotations.xml").is_file()
    assert "counts" in json.loads((out / "dataset.json").read_text())["annotations"][0]["segmentation"]


def test_another_run_replaces_them(label: Label, tmp_path: Path) -> None:
    label("--masks", "png")
    (tmp_path / "in" / "red-bolt" / "a.png").unlink()
    (tmp_path / "out" / ".png.left").mkdir()
    assert label("--masks", "png").exit_code == 0
    assert [path.name for path in (tmp_path / "out" / "png" / "masks").iterdir()] == ["blue-wrench"]
    assert list((tmp_path / "out").glob(".png*")) == []


@pytest.mark.parametrize("call", range(12))
def test_a_kill_while_a_format_is_replaced_leaves_a_folder_that_can_be_replaced(
    label: Label, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: int
) -> None:
    label("--masks", "png")
    calls = itertools.count()

    def killed(function: Callable[..., None]) -> Callable[..., None]:
        def instead(*given: Any, **named: Any) -> None:
            if next(calls) >= call:
                raise KeyboardInterrupt  # nothing is removed any more, as after a kill
            function(*given, **named)

        return instead

    with monkeypatch.context() as patched:
        for name in ("unlink", "rmdir", "rename"):
            patched.setattr(os, name, killed(getattr(os, name)))
        with suppress(KeyboardInterrupt):
            convert_inside(tmp_path / "out", "png")
    convert_inside(tmp_path / "out", "png")
    assert len(list((tmp_path / "out" / "png" / "masks").iterdir())) == 2


def test_no_other_run_comes_while_formats_are_written(
    label: Label, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    others: list[Result] = []

    def meanwhile(*given: Any) -> Any:
        if not others:
            others.append(label("--masks", "png"))
        return convert_inside(*given)

    monkeypatch.setattr("weaksam.cli.labelling.label.convert_inside", meanwhile)
    assert label("--masks", "png").exit_code == 0
    assert "is in use by another run: wait for it" in str(others[0].exception)
    assert len(list((tmp_path / "out" / "png" / "masks").iterdir())) == 2


def test_a_folder_of_somebody_else_stays(label: Label, tmp_path: Path) -> None:
    (tmp_path / "out" / "png").mkdir(parents=True)
    (tmp_path / "out" / "png" / "mine").write_text("mine")
    ended = label("--format", "png")
    assert "was not written by weaksam" in str(ended.exception)
    assert (tmp_path / "out" / "png" / "mine").read_text() == "mine"


def test_boxes_alone(label: Label, tmp_path: Path) -> None:
    assert label("--masks", "none", "--format", "yolo").exit_code == 0
    document = json.loads((tmp_path / "out" / "dataset.json").read_text())
    assert [set(row) & {"segmentation", "area"} for row in document["annotations"]] == [{"area"}] * 2
    refused = label()
    assert "other options: --masks was none, now it is not given" in str(refused.exception)


def test_zoom_is_an_option_of_the_run(label: Label) -> None:
    assert label("--zoom").exit_code == 0
    assert "--zoom was given, now it is not given" in str(label().exception), "results with and without it must not mix"
    assert "zoom" in str(label("--zoom", "--masks", "none").exception)


def test_a_format_that_there_is_not(label: Label, tmp_path: Path) -> None:
    assert "format is 'yolov5': give one of coco, " in str(label("--format", "yolov5").exception)
    assert not (tmp_path / "out").exists(), "nothing was sent before"
