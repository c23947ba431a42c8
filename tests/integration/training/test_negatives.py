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
from tests.support.trainings.tiny_runs import CONFIGS, make_scenes, run_cam, run_sam, run_wsod
from training.data.open_together import open_together
from training.pseudo_labels.config import PseudoLabelConfig
from training.pseudo_labels.make import make_pseudo_labels

CONFIG = load_config(
    BundleConfig,
    Path(__file__).resolve().parents[3] / "deploy" / "configs" / "default.toml",
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


def test_a_class_and_its_absence_train_a_detector(data: Path, tmp_path: Path) -> None:
    run_sam(tmp_path / "sam")
    run_cam(data, tmp_path / "cam")
    sam, cam = open_run(tmp_path / "sam", "sam"), open_run(tmp_path / "cam", "cam")
    export_bundle(sam, cam, None, CONFIG, tmp_path / "proposer")
    weights = tmp_path / "cam" / "cam.safetensors"
    run_wsod(data, weights, tmp_path / "proposer", tmp_path / "store", tmp_path / "wsod", "method=mist")
    export_bundle(sam, cam, open_run(tmp_path / "wsod", "wsod"), CONFIG, tmp_path / "bundle")

    opened = open_together([data], "fit")
    settings = load_config(PseudoLabelConfig, CONFIGS / "stages/pgt.toml", [])
    make_pseudo_labels(settings, tmp_path / "bundle", opened.images, opened.labels, tmp_path / "pgt")

    document = json.loads((tmp_path / "pgt" / "annotations" / "instances_train.json").read_bytes())
    tags = {row["id"]: row["tags"] for row in document["images"]}
    assert sorted(map(tuple, set(map(tuple, tags.values())))) == [(), ("crack",)]
    assert document["annotations"]
    assert all(tags[row["image_id"]] == ["crack"] for row in document["annotations"])
    losses = [json.loads(line) for line in (tmp_path / "wsod" / "log.jsonl").read_text().splitlines()]
    numbers = [value for row in losses for value in row.values() if isinstance(value, float)]
    assert not any(map(math.isnan, numbers))
