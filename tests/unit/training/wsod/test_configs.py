"""The committed settings of each method."""

from __future__ import annotations

from pathlib import Path

import pytest

from models.config import ConfigError, load_config
from training.pseudo_labels.config import PseudoLabelConfig
from training.wsod.config import MistSettings, WsodConfig

CONFIGS = Path(__file__).resolve().parents[4] / "training" / "configs"
BY_SCORE_ALONE = (1.0, 0.0, 0.0, True)


@pytest.mark.parametrize("method", ["wsddn", "mist"])
def test_wsddn_and_mist_have_the_papers_seeds(method: str) -> None:
    config = load_config(WsodConfig, CONFIGS / f"stages/wsod_{method}.toml")
    assert config.method == method
    assert (config.score_power, config.prior_power, config.cam_power, config.weigh_by_score) == BY_SCORE_ALONE
    assert config.mist == MistSettings(seed_share=0.15, seed_iou=0.2, first_weight=3.0, drop_share=0.3)


def test_settings_of_before_there_were_methods_are_oicr() -> None:
    assert load_config(WsodConfig, CONFIGS / "stages/wsod.toml").method == "oicr"


def test_the_three_differ_in_method_and_seeds_alone() -> None:
    names = ("wsod", "wsod_wsddn", "wsod_mist")
    configs = [load_config(WsodConfig, CONFIGS / f"stages/{name}.toml") for name in names]
    shared = ("backbone", "side_px", "supervision", "subsample", "epochs", "batch", "lr", "weight_decay", "seed")
    assert len({tuple(getattr(config, name) for name in shared) for config in configs}) == 1


def test_a_mistyped_setting_of_mist_is_named() -> None:
    with pytest.raises(ConfigError, match=r"unknown key 'seed_shares': did you mean 'seed_share'"):
        load_config(WsodConfig, CONFIGS / "stages/wsod_mist.toml", ["mist.seed_shares=0.2"])


def test_pseudo_ground_truth_has_the_papers_settings_for_voc() -> None:
    assert load_config(PseudoLabelConfig, CONFIGS / "stages/pgt.toml") == PseudoLabelConfig(
        mode="adaptive", keep_share=0.3, contained_share=0.85
    )
