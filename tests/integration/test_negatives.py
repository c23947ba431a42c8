"""One class, and images without it: the whole path learns from both."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest

from deploy.export.bundle import export_bundle
from models.config import load_config
from models.run_folder import open_run
from models.settings import BundleConfig
from tests.support.tiny_runs import CONFIGS, make_scenes, run_cam, run_sam, run_wsod
from training.data.open_together import open_together
from training.pseudo_labels.make import make_pseudo_labels
from training.pseudo_labels.selection import PseudoLabelConfig

CONFIG = load_config(
    BundleConfig,
    Path(__file__).resolve().parents[2] / "deploy" / "configs" / "default.toml",
    ["prompts.grid_min_iou=-9", "prompts.grid_min_stability=-9"],
)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Scenes of which every second one is said to show a crack."""
    root = make_scenes(tmp_path_factory.mktemp("data") / "scenes") / "JPEGImages"
    names = sorted(path.name for path in root.iterdir())
    rows = [f"{name},{'crack' if number % 2 else ''}" for number, name in enumerate(names)]
    (root / "tags.csv").write_text("\n".join(["file,tags", *rows]) + "\n")
    return root


@pytest.fixture(scope="module")
def runs(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A classifier of the one class, and the bundle that makes its proposals."""
    runs = tmp_path_factory.mktemp("runs")
    run_sam(runs / "sam")
    run_cam(data, runs / "cam")
    export_bundle(open_run(runs / "sam", "sam"), open_run(runs / "cam", "cam"), None, CONFIG, runs / "proposer")
    return runs


@pytest.mark.parametrize("method", ["oicr", "mist"])
def test_a_class_and_its_absence_train_a_detector(data: Path, runs: Path, tmp_path: Path, method: str) -> None:
    weights = runs / "cam" / "cam.safetensors"
    run_wsod(data, weights, runs / "proposer", runs / "store", tmp_path / "wsod", f"method={method}")
    parts = [open_run(folder, folder.name) for folder in (runs / "sam", runs / "cam", tmp_path / "wsod")]
    export_bundle(*parts, CONFIG, tmp_path / "bundle")

    opened = open_together([data], "fit")
    settings = load_config(PseudoLabelConfig, CONFIGS / "pgt.toml", [])
    make_pseudo_labels(settings, tmp_path / "bundle", opened.images, opened.labels, tmp_path / "pgt")

    document = json.loads((tmp_path / "pgt" / "annotations" / "instances_train.json").read_bytes())
    tags = {row["id"]: row["tags"] for row in document["images"]}
    assert sorted(map(tuple, set(map(tuple, tags.values())))) == [(), ("crack",)]
    assert all(tags[row["image_id"]] == ["crack"] for row in document["annotations"])
    losses = [json.loads(line) for line in (tmp_path / "wsod" / "log.jsonl").read_text().splitlines()]
    numbers = [value for row in losses for value in row.values() if isinstance(value, float)]
    assert not any(map(math.isnan, numbers))
