"""Settings of the compact SAM's training that cannot be meant."""

from __future__ import annotations

from pathlib import Path

import pytest

from models.config import ConfigError, load_config
from training.sam.config import SamConfig

CONFIG = Path(__file__).resolve().parents[4] / "training" / "configs" / "stages" / "sam_photographs.toml"


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["early_side_px=none"], "early_side_px: is missing, give the images' side in the 1500 early_steps"),
        (["group_share=0.9"], "group_share, correct_share: 0.9 and 0.2 exceed 1"),
        (["side_px=330"], "side_px: is 330, give a multiple of 32"),
        (["sources=[{data='x', weight=1.0, exclude_domain=['a']}]"], r"sources\[0\]: unknown key 'exclude_domain'"),
    ],
)
def test_what_cannot_be_meant_is_named(overrides: list[str], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        load_config(SamConfig, CONFIG, overrides)


def test_early_images_are_smaller() -> None:
    config = load_config(SamConfig, CONFIG)
    assert (config.side_px_at(1499), config.side_px_at(1500)) == (224, 320)
