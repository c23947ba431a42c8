"""Which stage `weaksam train` runs, wherever the options stand, and what it is given."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import pytest
from typer.testing import CliRunner

from models.labels import LabelSet
from tests.unit.training.data.conftest import write_coco
from training.classifier.config import CamConfig
from training.data.tagged import TaggedImage
from weaksam.cli.train import command_first, train_app

CONFIGS = Path(__file__).resolve().parents[4] / "training" / "configs"


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


def test_a_class_of_the_validation_images_alone_is_left_out_before_anything_is_trained(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given: list[object] = []

    def train(
        _: CamConfig, images: Sequence[TaggedImage], held_out: Sequence[TaggedImage], labels: LabelSet, __: Path
    ) -> None:
        given.extend([[image.tags for image in images], [image.tags for image in held_out], labels.names])

    monkeypatch.setattr("training.classifier.train.train_cam", train)
    write_coco(tmp_path / "data", "fit", {"a": "Bolt", "b": "Nut"})
    write_coco(tmp_path / "data", "val", {"c": "Bolt", "d": "Pin"})
    config, out = CONFIGS / "stages/cam.toml", tmp_path / "run"
    answer = CliRunner().invoke(
        train_app, ["cam", "--config", str(config), "--data", str(tmp_path / "data"), "--out", str(out)]
    )
    assert answer.exit_code == 0, answer.output
    assert given == [[("Bolt",), ("Nut",)], [("Bolt",), ()], ("Bolt", "Nut")]
    assert "class 'Pin' is not learnt" in answer.output.replace("\n", " ")


def test_figures_that_took_long_to_measure_are_written_into_a_new_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    figures = {"cnn": {"tag_map": 0.5}}
    monkeypatch.setattr("training.classifier.compare.compare_cams", lambda *_: figures)
    write_coco(tmp_path / "data", "test", {"a": "Bolt"})
    out = tmp_path / "new" / "figures.json"
    answer = CliRunner().invoke(
        train_app, ["cam-compare", "--run", "cnn", "--data", str(tmp_path / "data"), "--json", str(out)]
    )
    assert answer.exit_code == 0, answer.output
    assert json.loads(out.read_text()) == figures
