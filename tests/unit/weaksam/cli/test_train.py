"""Which stage `weaksam train` runs, wherever the options stand."""

from __future__ import annotations

import pytest

from weaksam.cli.train import command_first


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        pytest.param(["own.toml", "--out", "run"], ["run", "own.toml", "--out", "run"], id="config first"),
        pytest.param(["--out", "cam", "own.toml"], ["run", "--out", "cam", "own.toml"], id="options first"),
        pytest.param(["--out=runs/a", "own.toml"], ["run", "--out=runs/a", "own.toml"], id="with an equals sign"),
        pytest.param(["cam", "--out", "run"], ["cam", "--out", "run"], id="stage first"),
        pytest.param(["--out", "run", "cam", "--data", "d"], ["cam", "--out", "run", "--data", "d"], id="stage later"),
        pytest.param(["--config", "cam.toml", "cam"], ["cam", "--config", "cam.toml"], id="a config as a value"),
        pytest.param(["--out", "run"], ["--out", "run"], id="neither"),
    ],
)
def test_the_stage_comes_first(words: list[str], expected: list[str]) -> None:
    assert command_first(words) == expected
