from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import pytest

from models.config import ConfigError, load_config


@dataclass(frozen=True)
class Inner:
    sides: tuple[int, ...]

    def __post_init__(self) -> None:
        if min(self.sides) <= 0:
            raise ValueError(f"sides: must be above 0, got {self.sides}")


@dataclass(frozen=True)
class Example:
    steps: int
    lr: float
    kind: Literal["tags", "boxes"]
    inner: Inner
    start: Path | None = None


TEXT = 'steps = 3\nlr = 1\nkind = "tags"\n[inner]\nsides = [1, 2]\n'


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "example.toml"
    path.write_text(TEXT)
    return path


def test_none_leaves_out_what_may_be_left_out(path: Path) -> None:
    assert load_config(Example, path, ["start=runs/x", "start=none"]).start is None
    with pytest.raises(ConfigError, match="steps: expected int, got 'none'"):
        load_config(Example, path, ["steps=none"])


def test_values_get_the_types_of_the_dataclass(path: Path) -> None:
    config = load_config(Example, path, ["start=runs/x", "inner.sides=[5]"])
    assert config == Example(3, 1.0, "tags", Inner((5,)), Path("runs/x"))


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("stesp=4", "unknown key 'stesp': did you mean 'steps'"),
        ("inner.side=[4]", "unknown key 'side': did you mean 'sides'"),
        ("steps=many", "steps: expected int, got 'many'"),
        ("steps=true", "steps: expected int, got True"),
        ("kind=masks", "'masks' is none of 'tags', 'boxes'"),
        ("steps", "write key=value"),
        ("inner.sides=[5, 0]", r"example\.toml: inner: sides: must be above 0, got \(5, 0\)"),
    ],
)
def test_a_wrong_setting_is_named(path: Path, override: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        load_config(Example, path, [override])


def test_a_missing_value_is_named(path: Path) -> None:
    path.write_text("steps = 3\n")
    with pytest.raises(ConfigError, match="lr"):
        load_config(Example, path)


def test_a_file_that_is_no_toml_is_named(path: Path) -> None:
    path.write_text("steps = = 3\n")
    with pytest.raises(ConfigError, match="cannot be read as TOML"):
        load_config(Example, path)


@dataclass(frozen=True)
class Renamed:
    subsample: int = 1
    loss_weights: dict[str, float] = field(default_factory=dict)


def test_the_old_name_of_a_key_is_read_with_a_warning_and_the_override_wins(tmp_path: Path) -> None:
    path = tmp_path / "old.toml"
    path.write_text("every = 3\n")
    with pytest.warns(FutureWarning, match=r"old\.toml: 'every' is now called 'subsample'"):
        assert load_config(Renamed, path) == Renamed(3)
    with pytest.warns(FutureWarning, match="'every'"):
        assert load_config(Renamed, path, ["subsample=4"]) == Renamed(4)


def test_a_key_that_moved_into_a_table_is_read_under_its_old_name(tmp_path: Path) -> None:
    path = tmp_path / "old.toml"
    path.write_text("ground_weight = 0.5\n")
    with pytest.warns(FutureWarning, match="'ground_weight' is now called 'loss_weights.loss_background'"):
        read = load_config(Renamed, path, ["loss_weights.loss_tags=2.0"])
    assert read.loss_weights == {"loss_background": 0.5, "loss_tags": 2.0}


def test_an_old_name_means_nothing_to_settings_that_never_had_it(path: Path) -> None:
    with pytest.raises(ConfigError, match="unknown key 'every'"):
        load_config(Example, path, ["every=2"])
