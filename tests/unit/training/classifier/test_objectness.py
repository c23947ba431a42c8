"""What a segmenter tells a classifier of where objects may be."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from models.bundle import DEFAULT_BUNDLE
from models.nets.compact_sam import build_compact_sam
from tests.support.bundles.tiny_bundle import write_tiny_bundle
from training.classifier.config import CamConfig
from training.classifier.objectness import load_objectness, objectness_source
from training.runs.checkpoints import save_weights
from weaksam.errors import UserError

CPU = torch.device("cpu")


def test_a_thing_is_likelier_than_the_ground_it_lies_on() -> None:
    image = torch.full((1, 320, 320, 3), 150, dtype=torch.uint8)
    image[:, 120:200, 60:260] = torch.tensor([40, 60, 160], dtype=torch.uint8)
    objectness = load_objectness(DEFAULT_BUNDLE, CPU)(image)
    assert objectness.shape == (1, 1, 40, 40)
    inside, outside = objectness[..., 15:25, 8:32], objectness[..., 30:, :]
    assert inside.max() > outside.max()


def test_the_side_may_be_another_than_the_segmenters() -> None:
    assert load_objectness(DEFAULT_BUNDLE, CPU)(torch.zeros(2, 256, 256, 3, dtype=torch.uint8)).shape == (2, 1, 32, 32)


def test_a_segmenter_without_a_prompt_map_is_refused(tmp_path: Path) -> None:
    save_weights(build_compact_sam("mobilenetv2_035", 64), tmp_path / "sam.safetensors")
    (tmp_path / "config.json").write_text(json.dumps({"backbone": "mobilenetv2_035", "side_px": 64}))
    with pytest.raises(UserError, match="objectness_from: .* has no prompt map, train it with prompt_map = true"):
        load_objectness(tmp_path, CPU)


def test_a_bundle_of_another_segmenter_is_refused(tmp_path: Path) -> None:
    write_tiny_bundle(tmp_path)
    with pytest.raises(UserError, match="its segmenter is no compact SAM of `weaksam train sam`"):
        load_objectness(tmp_path, CPU)


def test_a_published_checkpoint_is_refused(tmp_path: Path) -> None:
    (tmp_path / "sam_vit_b.pth").touch()
    with pytest.raises(UserError, match=r"sam_vit_b\.pth is a file: give the folder"):
        load_objectness(tmp_path / "sam_vit_b.pth", CPU)


def test_the_default_bundle_stands_in_for_a_segmenter_without_a_prompt_map(tmp_path: Path) -> None:
    published = tmp_path / "sam_vit_b.pth"
    published.touch()
    assert objectness_source(published) == DEFAULT_BUNDLE
    (tmp_path / "tiny").mkdir()
    assert objectness_source(write_tiny_bundle(tmp_path / "tiny").folder) == DEFAULT_BUNDLE
    save_weights(build_compact_sam("mobilenetv2_035", 64, prompt_map=True), tmp_path / "sam.safetensors")
    (tmp_path / "config.json").write_text(json.dumps({"backbone": "mobilenetv2_035", "side_px": 64}))
    assert objectness_source(tmp_path) == tmp_path


@pytest.mark.parametrize("other", [{"architecture": "weaktr"}, {"background_share": 1.0}])
def test_settings_that_objectness_does_not_suit_are_refused(other: dict[str, object]) -> None:
    values: dict[str, object] = {
        "backbone": "mobilenetv2_035",
        "backbone_weights": "none",
        "side_px": 64,
        "steps": 1,
        "batch": 1,
        "mosaic_prob": 0.0,
        "background_share": 0.8,
        "lr": 1e-3,
        "backbone_lr_scale": 1.0,
        "weight_decay": 0.0,
        "warmup_steps": 0,
        "objectness_from": DEFAULT_BUNDLE,
    }
    with pytest.raises(UserError, match="objectness_from: needs architecture = 'cnn' and a background_share below 1"):
        CamConfig(**(values | other))  # type: ignore[arg-type]
