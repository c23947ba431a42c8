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
    several: tuple[Inner, ...] = ()
    named: dict[str, Inner] = field(default_factory=dict)


TEXT = 'steps = 3\nlr = 1\nkind = "tags"\n[inner]\nsides = [1, 2]\n'


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "example.toml"
    path.write_text(TEXT)
    return path


def test_none_leaves_out_what_may_be_left_out(path: Path) -> None:
    assert load_config(Example, path, ["start=runs/x", "start=none"]).start is None
    with pytest.raises(ConfigError, match="steps is 'none': must be a whole number"):
        load_config(Example, path, ["steps=none"])


def test_values_get_the_types_of_the_dataclass(path: Path) -> None:
    config = load_config(Example, path, ["start=runs/x", "inner.sides=[5]"])
    assert config == Example(3, 1.0, "tags", Inner((5,)), Path("runs/x"))


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("stesp=4", "unknown key 'stesp': did you mean 'steps'"),
        ("inner.side=[4]", "unknown key 'side': did you mean 'sides'"),
        ("several=[{sides=[1]}, {side=[1]}]", r"several\[1\]: unknown key 'side': did you mean 'sides'"),
        ("named={a={side=[1]}}", r"named\.a: unknown key 'side': did you mean 'sides'"),
        ("rate=0.1", r"unknown key 'rate': choose from steps, lr, kind, "),
        ("two words=1", "'two words' is no key; write key=value"),
        ("steps=many", "steps is 'many': must be a whole number"),
        ("steps=true", "steps is true: must be a whole number"),
        ("kind=masks", "kind is 'masks': must be 'tags' or 'boxes'"),
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
    with pytest.raises(ConfigError, match=r"absent\.toml: cannot be read \(No such file or directory\)"):
        load_config(Example, path.with_name("absent.toml"))


def test_a_file_holds_what_differs_from_the_one_that_it_extends(path: Path) -> None:
    child, grandchild = path.with_name("child.toml"), path.with_name("grandchild.toml")
    child.write_text('extends = "example.toml"\nsteps = 5\n[inner]\nsides = [7]\n')
    grandchild.write_text('extends = "child.toml"\nkind = "boxes"\n')
    assert load_config(Example, child) == Example(5, 1.0, "tags", Inner((7,)))
    assert load_config(Example, grandchild, ["lr=2"]) == Example(5, 2.0, "boxes", Inner((7,)))


def test_a_table_extends_a_file_of_its_own(path: Path) -> None:
    path.with_name("sides.toml").write_text("sides = [9]\n")
    path.write_text('steps = 3\nlr = 1\nkind = "tags"\n[inner]\nextends = "sides.toml"\n')
    assert load_config(Example, path).inner == Inner((9,))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        pytest.param('extends = "child.toml"\n', r"child\.toml: extends: the file extends itself", id="itself"),
        pytest.param('extends = "gone.toml"\n', r"gone\.toml: cannot be read", id="missing"),
        pytest.param("extends = 3\n", r"child\.toml: extends: expected the path of a TOML file, got 3", id="no path"),
    ],
)
def test_what_cannot_be_extended_is_named(tmp_path: Path, text: str, message: str) -> None:
    child = tmp_path / "child.toml"
    child.write_text(text)
    with pytest.raises(ConfigError, match=message):
        load_config(Example, child)


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
