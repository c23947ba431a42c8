from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from weaksam.cli.data import data_app


def _run(*arguments: object) -> tuple[int, str]:
    result = CliRunner().invoke(data_app, [str(argument) for argument in arguments])
    return result.exit_code, result.output


def test_scenes_in_folders_by_kind_become_mosaics_that_check_well(tmp_path: Path) -> None:
    for kind in ("bolt", "nut", "pen", "wire"):
        assert _run("scenes", "--out", tmp_path / "source" / kind, "--count", 2, "--size", "96x128")[0] == 0
        for written in (tmp_path / "source" / kind).glob("Segm*/*.png"):
            written.unlink()

    arguments = ("--source", tmp_path / "source", "--split", "train", "--out", tmp_path / "out", "--count", 2)
    assert _run("mosaics", *arguments)[0] == 0
    status, output = _run("check", tmp_path / "out", "--split", "train")

    assert status == 0
    assert "2 images, 4 labels" in output


def test_check_lists_problems_and_fails(tmp_path: Path) -> None:
    _run("scenes", "--out", tmp_path / "s", "--count", 3, "--size", "96x128")
    (tmp_path / "s" / "JPEGImages" / "000001.jpg").write_bytes(b"")

    status, output = _run("check", tmp_path / "s")

    assert status == 1
    assert "000001.jpg" in output


def test_check_finds_an_image_cut_short_behind_its_header(tmp_path: Path) -> None:
    _run("scenes", "--out", tmp_path / "s", "--count", 3, "--size", "96x128")
    path = tmp_path / "s" / "JPEGImages" / "000001.jpg"
    path.write_bytes(path.read_bytes()[:-500])

    status, output = _run("check", tmp_path / "s")

    assert status == 1
    assert "000001.jpg" in output
    assert "training would" in output


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        pytest.param(("check", "nowhere"), "is not a folder", id="check-nowhere"),
        pytest.param(("scenes", "--out", "x", "--size", "big"), "HEIGHTxWIDTH", id="size-words"),
        pytest.param(("scenes", "--out", "x", "--size", "8x8"), "at least 64x64", id="size-tiny"),
        pytest.param(("mosaics", "--source", "nowhere", "--out", "x"), "is not a folder", id="mosaics-nowhere"),
    ],
)
def test_mistakes_are_value_errors_that_the_console_command_prints(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...], message: str
) -> None:
    monkeypatch.chdir(tmp_path)

    result = CliRunner().invoke(data_app, list(arguments))

    assert isinstance(result.exception, ValueError)
    assert message in str(result.exception)


def test_brackets_in_an_image_s_name_are_printed_as_they_are(tmp_path: Path) -> None:
    _run("scenes", "--out", tmp_path / "s", "--count", 3, "--size", "96x128")
    (tmp_path / "s" / "JPEGImages" / "[red]4.jpg").write_bytes(b"")
    (tmp_path / "s" / "Annotations").rename(tmp_path / "not-voc")
    (tmp_path / "s" / "annotations").rename(tmp_path / "not-coco")

    status, output = _run("check", tmp_path / "s")

    assert status == 1
    assert "[red]4.jpg" in output
