from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from models.bundle import DEFAULT_BUNDLE, MANIFEST
from training.classifier.config import CamConfig
from training.pipeline import run
from training.pipeline.config import load_pipeline
from training.pipeline.run import run_pipeline
from weaksam.errors import UserError

SMOKE = Path(__file__).resolve().parents[4] / "training" / "configs" / "smoke.toml"


def test_a_segmenter_that_is_missing_is_named_before_anything_is_trained(tmp_path: Path) -> None:
    run_dir, sam = tmp_path / "run", tmp_path / "sam.safetensors"
    with pytest.raises(ValueError, match=r"sam: .*sam\.safetensors is no checkpoint, bundle or finished run"):
        run_pipeline(load_pipeline(SMOKE, [f"sam={sam}"]), run_dir)
    assert not [path for path in run_dir.iterdir() if path.is_dir()], "a stage had begun"


@pytest.mark.parametrize(
    ("override", "message"),
    [
        pytest.param("pgt.categories='none.json'", r"pgt\.categories: none\.json is no file", id="categories"),
        pytest.param("detector.rcnn.anchor_sides_px=[[8]]", "detector: anchor_sides_px must have 3", id="anchors"),
        pytest.param("segmenter.backbone_weights='x.safetensors'", "segmenter: backbone_weights: x", id="weights"),
        pytest.param("detector={cam_checkpoint='x'}", "detector: cam: x is no finished run", id="classifier"),
    ],
)
def test_what_a_later_stage_lacks_is_named_before_anything_is_trained(
    override: str, message: str, tmp_path: Path
) -> None:
    settings = ["data.test=none", "heads_from_cam=false", override]
    with pytest.raises(UserError, match=message):
        run_pipeline(load_pipeline(SMOKE, settings), tmp_path / "run")
    assert not list((tmp_path / "run").glob("cam-*"))


def test_a_segmenter_that_is_no_checkpoint_is_named_before_anything_is_trained(tmp_path: Path) -> None:
    sam = tmp_path / "sam.pth"
    sam.write_bytes(b"no checkpoint")
    with pytest.raises(UserError, match=r"sam\.pth cannot be read as a checkpoint"):
        run_pipeline(load_pipeline(SMOKE, [f"sam={sam}"]), tmp_path / "run")


def test_a_misspelt_image_of_the_report_is_named_with_the_nearest(tmp_path: Path) -> None:
    settings = ["data.test=none", 'report.chosen=["JPEGImages/00001"]']
    with pytest.raises(ValueError, match=r"report\.chosen: .*'JPEGImages/00001' \(nearest: JPEGImages/0000"):
        run_pipeline(load_pipeline(SMOKE, settings), tmp_path / "run")


def test_a_classifier_that_learns_from_the_segmenter_is_known_wherever_that_is_installed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Reached(Exception):
        """The classifier's training would begin."""

    learnt_from: list[Path | None] = []

    def begin(config: CamConfig, *_: object) -> None:
        learnt_from.append(config.objectness_from)
        raise Reached

    monkeypatch.setattr(run, "train_cam", begin)
    installed = [tmp_path / place for place in ("here", "there")]
    for folder in installed:
        folder.mkdir()
        shutil.copy(DEFAULT_BUNDLE / MANIFEST, folder)
        monkeypatch.setattr(run, "objectness_source", lambda _, found=folder: found)
        with pytest.raises(Reached):
            run_pipeline(load_pipeline(SMOKE, ["data.test=none", "objectness_from_sam=true"]), tmp_path / "run")
    assert learnt_from == installed
    assert len(list((tmp_path / "run").glob("cam-*"))) == 1
