from __future__ import annotations

from pathlib import Path

import pytest

from training.pipeline.config import load_pipeline
from training.pipeline.run import run_pipeline

SMOKE = Path(__file__).resolve().parents[4] / "training" / "configs" / "smoke.toml"


def test_a_segmenter_that_is_missing_is_named_before_anything_is_trained(tmp_path: Path) -> None:
    run_dir, sam = tmp_path / "run", tmp_path / "sam.safetensors"
    with pytest.raises(ValueError, match=r"sam: .*sam\.safetensors is no checkpoint, bundle or finished run"):
        run_pipeline(load_pipeline(SMOKE, [f"sam={sam}"]), run_dir)
    assert not [path for path in run_dir.iterdir() if path.is_dir()], "a stage had begun"


def test_a_misspelt_image_of_the_report_is_named_with_the_nearest(tmp_path: Path) -> None:
    settings = ["data.test=none", 'report.chosen=["JPEGImages/00001"]']
    with pytest.raises(ValueError, match=r"report\.chosen: .*'JPEGImages/00001' \(nearest: JPEGImages/0000"):
        run_pipeline(load_pipeline(SMOKE, settings), tmp_path / "run")
