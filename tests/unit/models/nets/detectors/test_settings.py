"""Which sections of a detector's settings its network needs, and settings of earlier versions."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from models.config import config_from_values, read_values
from models.nets.detectors.settings import (
    Architecture,
    DetectorSettings,
    NetSettings,
    RcnnSettings,
    of_this_release,
)

CONFIGS = Path(__file__).resolve().parents[5] / "training" / "configs"
NET = NetSettings(backbone="mobilenetv2_100", frozen_norm=False)
NO_MASKS = RcnnSettings(8, 8, ((8,), (16,), (32,)), 32, 0, 0, 8, 8)


@pytest.mark.parametrize(("architecture", "masks"), [("dfine", False), ("mask2former", True)])
def test_queries_need_no_section_of_the_rcnn(architecture: Architecture, masks: bool) -> None:
    assert DetectorSettings(net=NET, architecture=architecture).has_masks is masks


@pytest.mark.parametrize("architecture", ["faster_rcnn", "mask_rcnn"])
def test_an_rcnn_needs_its_section(architecture: Architecture) -> None:
    with pytest.raises(ValueError, match=rf"rcnn: a {architecture} needs this section"):
        DetectorSettings(net=NET, architecture=architecture)


def test_a_mask_rcnn_needs_a_mask_head() -> None:
    assert not DetectorSettings(net=NET, rcnn=NO_MASKS).has_masks
    with pytest.raises(ValueError, match=r"rcnn\.mask_channels: is 0"):
        DetectorSettings(net=NET, architecture="mask_rcnn", rcnn=NO_MASKS)


def test_a_run_of_an_earlier_release_has_the_same_network() -> None:
    values = read_values(CONFIGS / "stages/segmenter.toml", [])
    earlier: dict[str, Any] = {**values, "net": values["net"] | values["rcnn"]}
    del earlier["rcnn"]

    def settings(run: dict[str, Any]) -> DetectorSettings:
        taken = {key: value for key, value in of_this_release(run).items() if key in ("net", "rcnn", "architecture")}
        return config_from_values(DetectorSettings, taken, "config.json")

    assert settings(earlier) == settings(values)
    assert settings(values).has_masks
