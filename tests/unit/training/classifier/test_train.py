from __future__ import annotations

from pathlib import Path

import pytest

from models.config import load_config
from models.labels import Label, LabelSet
from training.classifier.config import CamConfig
from training.classifier.train import train_cam
from training.data.tagged import TaggedImage
from weaksam.errors import UserError

CONFIGS = Path(__file__).resolve().parents[4] / "training" / "configs"


def test_a_class_that_every_image_has_is_refused(tmp_path: Path) -> None:
    images = [TaggedImage("a", tmp_path / "a.jpg", (60, 80), ("crack",))]
    config = load_config(CamConfig, CONFIGS / "stages/cam.toml", [])
    with pytest.raises(UserError, match=r"crack is the only one, and every image has it.*data\.background"):
        train_cam(config, images, images, LabelSet((Label("crack"),)), tmp_path / "run")
