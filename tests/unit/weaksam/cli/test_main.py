"""The console command: nothing heavy before it is needed, and one sentence for bad input."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from typer.testing import CliRunner

from weaksam.cli import main as command_line

HEAVY = ("torch", "torchvision", "timm", "training", "deploy", "onnxruntime", "cv2", "fastapi")

REPORT_IMPORTS = f"""
import contextlib, io, json, sys
from weaksam.cli import main as command_line
with contextlib.redirect_stdout(io.StringIO()), contextlib.suppress(SystemExit):
    command_line.main()
print(json.dumps(sorted(set({HEAVY!r}) & set(sys.modules))))
"""

WITHOUT_TORCH = """
import sys
sys.modules["torch"] = None
from weaksam.cli import main as command_line
command_line.main()
"""


def run(repository_dir: Path, *arguments: str, code: str | None = None) -> subprocess.CompletedProcess[str]:
    start = ["-m", "weaksam"] if code is None else ["-c", code]
    environment = {**os.environ, "COLUMNS": "160", "NO_COLOR": "1"}
    command = [sys.executable, *start, *arguments]
    return subprocess.run(
        command, cwd=repository_dir, env=environment, capture_output=True, text=True, check=False, timeout=120
    )


def test_the_version_is_that_of_the_package(repository_dir: Path) -> None:
    shown = CliRunner().invoke(command_line.app, ["--version"])
    project = tomllib.loads((repository_dir / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert (shown.exit_code, shown.output) == (0, f"weaksam {project['version']}\n")
    assert project["name"] == command_line.DISTRIBUTION


@pytest.mark.parametrize(
    ("arguments", "loaded"),
    [
        pytest.param(["--help"], [], id="help"),
        pytest.param(["serve", "--help"], [], id="serve"),
        pytest.param(["detect", "--help"], [], id="detect"),
        pytest.param(["label", "--help"], [], id="label"),
        pytest.param(["train", "--help"], ["training"], id="train, so that this test can fail"),
    ],
)
def test_help_imports_only_what_it_needs(repository_dir: Path, arguments: list[str], loaded: list[str]) -> None:
    ended = run(repository_dir, *arguments, code=REPORT_IMPORTS)
    imported = set(json.loads(ended.stdout))
    if loaded:
        assert set(loaded) <= imported
    else:
        # Images and their masks are part of what serving is; OpenCV comes with them.
        assert imported <= {"cv2"}


def test_the_help_lists_every_command(repository_dir: Path) -> None:
    listed = run(repository_dir, "--help").stdout
    for name, command in command_line.SUB_COMMANDS.items():
        assert f" {name} " in listed
        assert command.help in listed


@pytest.mark.parametrize("name", command_line.SUB_COMMANDS)
def test_every_command_has_its_own_help(name: str) -> None:
    shown = CliRunner().invoke(command_line.app, [name, "--help"], prog_name="weaksam")
    assert shown.exit_code == 0, shown.output
    assert f"Usage: weaksam {name} " in shown.output


def test_a_misspelt_command_is_met_with_the_nearest(repository_dir: Path) -> None:
    ended = run(repository_dir, "srve")
    assert ended.returncode == 2
    assert "No such command 'srve'. Did you mean 'serve'?" in ended.stderr


OPTIONS = {
    "a text for a number": (["serve", "--port", "abc"], "'--port': it is 'abc': must be a whole number"),
    "a number too large": (["detect", "x.jpg", "--min-score", "2"], "'--min-score': it is '2': must be at most 1"),
    "in a group of commands": (
        ["keys", "add", "a", "--file", "k", "--rate-per-s", "x"],
        "'--rate-per-s': it is 'x': must be a number",
    ),
    "no such choice": (["convert", "a", "b", "--to", "foo"], "'--to': 'foo' is not one of"),
}


@pytest.mark.parametrize(("arguments", "sentence"), OPTIONS.values(), ids=list(OPTIONS))
def test_a_wrong_option_is_told_with_its_value(repository_dir: Path, arguments: list[str], sentence: str) -> None:
    ended = run(repository_dir, *arguments)
    assert ended.returncode == 2
    assert f"Invalid value for {sentence}" in ended.stderr


def test_a_missing_extra_is_one_sentence_with_the_remedy(repository_dir: Path) -> None:
    ended = run(
        repository_dir,
        *["train", "sam", "--config", "training/configs/stages/sam.toml", "--out", "x"],
        code=WITHOUT_TORCH,
    )
    assert ended.returncode == 2
    assert ended.stderr == (
        "weaksam: this command needs torch, which is not installed: pip install -e '.[train]' in a checkout\n"
    )


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        pytest.param(["bundle", "check", "/absent"], "/absent/bundle.json does not exist", id="no bundle"),
        pytest.param(["serve", "--bundle", "/absent"], "/absent/bundle.json does not exist", id="nothing to serve"),
        pytest.param(["serve", "--port", "99999"], "WEAKSAM_PORT is 99999", id="no such port"),
        pytest.param(["detect", "/absent.jpg"], "No such file or directory: '/absent.jpg'", id="no image"),
        pytest.param(["detect", "LICENSE"], "no image in a known format", id="not an image"),
        pytest.param(
            ["label", "/absent", "--out", "x", "--tags-from", "folder"], "/absent is not a folder", id="folder"
        ),
    ],
)
def test_bad_input_is_one_sentence(repository_dir: Path, arguments: list[str], sentence: str) -> None:
    ended = run(repository_dir, *arguments)
    assert ended.returncode == 2
    assert ended.stderr.startswith("weaksam: ")
    assert sentence in ended.stderr
    assert ended.stderr.count("\n") == 1
    assert ended.stdout == ""


def test_the_traceback_is_there_for_who_asks(repository_dir: Path) -> None:
    ended = run(repository_dir, "--traceback", "bundle", "check", "/absent")
    assert ended.returncode == 1
    assert "Traceback (most recent call last)" in ended.stderr


def test_a_bug_is_no_bad_input(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken() -> None:
        raise KeyError("a bug")

    monkeypatch.setattr(command_line, "app", broken)
    with pytest.raises(KeyError):
        command_line.main()


def test_an_unknown_missing_module_is_no_missing_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken() -> None:
        raise ModuleNotFoundError("No module named 'service.gone'", name="service.gone")

    monkeypatch.setattr(command_line, "app", broken)
    with pytest.raises(ModuleNotFoundError):
        command_line.main()


def test_the_server_offers_every_setting(repository_dir: Path) -> None:
    from service.settings import Settings

    listed = run(repository_dir, "serve", "--help").stdout
    for name in Settings.model_fields:
        assert f"--{name.replace('_', '-')} " in listed


RAISE = """
from weaksam.cli import main as command_line
from weaksam.errors import UserError
def app():
    raise {error}
command_line.app = app
command_line.main()
"""


@pytest.mark.parametrize("error", ["UserError('lr is 0: give more')", "OSError(28, 'No space left on device')"])
def test_a_mistake_of_the_user_is_one_sentence(repository_dir: Path, error: str) -> None:
    ended = run(repository_dir, code=RAISE.format(error=error))
    assert ended.returncode == 2
    assert len(ended.stderr.splitlines()) == 1
    assert ended.stderr.startswith("weaksam: ")


@pytest.mark.parametrize("error", ["ValueError('not enough values to unpack')", "RuntimeError('size mismatch')"])
def test_a_fault_of_the_program_shows_where_it_arose(repository_dir: Path, error: str) -> None:
    ended = run(repository_dir, code=RAISE.format(error=error))
    assert ended.returncode == 1
    assert "Traceback" in ended.stderr
    assert "in app" in ended.stderr


@pytest.mark.parametrize(
    "command", [["evaluate"], ["evaluate-labels", "out"], ["train", "sam-report"], ["detect", "a.jpg"]]
)
def test_a_folder_in_place_of_a_file_is_refused_before_anything_is_measured(
    repository_dir: Path, tmp_path: Path, command: list[str]
) -> None:
    ended = run(repository_dir, *command, "--json", str(tmp_path))
    assert ended.returncode == 2
    assert f"Invalid value for '--json': file '{tmp_path}' is a directory" in " ".join(
        ended.stderr.replace("│", " ").split()
    )
