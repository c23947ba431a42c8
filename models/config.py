"""Strict settings: plain values from TOML or JSON into frozen dataclasses, every key and type checked."""

from __future__ import annotations

import difflib
import json
import tomllib
import typing
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import asdict, is_dataclass
from pathlib import Path
from typing import Any, TypeVar

Config = TypeVar("Config")
# TOML has no null: what `--set section=none` says of a section, path or number that may be left out.
LEFT_OUT = "none"


# Keys that had another name before 0.2. The old name is read for one release, with a warning.
RENAMED_KEYS = {
    "batch_pictures": "batch_images",
    "every": "subsample",
    "four_share": "mosaic_prob",
    "ground_share": "background_share",
    "ground_weight": "loss_weights.loss_background",
    "least_score": "min_score",
    "pictures": "image_files",
    "prompts_per_picture": "prompts_per_image",
    "sharpness": "inverse_temperature",
}


class ConfigError(ValueError):
    """A setting that cannot be used; the message names file, key and remedy."""


def load_config(kind: type[Config], path: Path, overrides: Sequence[str] = ()) -> Config:
    """Read ``path`` into the dataclass ``kind``; ``overrides`` are ``key=value`` texts that win over the file.

    Raises:
        ConfigError: unreadable file, unknown key (with the nearest name), wrong type or missing value.
    """
    return config_from_values(kind, read_values(path, overrides), str(path))


def read_values(path: Path, overrides: Sequence[str] = ()) -> dict[str, Any]:
    """The plain values of a TOML file under ``key=value`` texts that win over it; raises ConfigError."""
    try:
        values = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, tomllib.TOMLDecodeError) as error:
        raise ConfigError(f"{path}: cannot be read as TOML ({error})") from error
    for text in overrides:
        values = _merged(values, _parse_override(text))
    return values


def config_from_values(kind: type[Config], values: Mapping[str, Any], where: str) -> Config:
    """Build the dataclass ``kind`` from plain values, checking every key and type; raises ConfigError."""
    types = typing.get_type_hints(kind)
    values = _with_present_names(values, types, where)
    for key in values:
        if key not in types:
            nearest = difflib.get_close_matches(key, types, n=1, cutoff=0.0)[0]
            raise ConfigError(f"{where}: unknown key {key!r}: did you mean {nearest!r}?")
    converted = {key: _convert(value, types[key], f"{where}: {key}") for key, value in values.items()}
    try:
        return kind(**converted)
    except (TypeError, ValueError) as error:
        raise ConfigError(f"{where}: {error}") from error


def _with_present_names(values: Mapping[str, Any], types: Mapping[str, Any], where: str) -> dict[str, Any]:
    """Return the values by the names that keys have now; of two names of one key, the later in order wins."""
    present: dict[str, Any] = {}
    for key, value in values.items():
        name = RENAMED_KEYS.get(key, key)
        table, dot, inner = name.partition(".")
        if key in types or table not in types:
            present = _merged(present, {key: value})
        else:
            warnings.warn(f"{where}: {key!r} is now called {name!r}; write the new name", FutureWarning, stacklevel=3)
            present = _merged(present, {table: {inner: value} if dot else value})
    return present


def config_values(config: Any) -> dict[str, Any]:
    """The settings as plain JSON values, paths as text."""
    plain: dict[str, Any] = json.loads(json.dumps(asdict(config), default=str))
    return plain


def _parse_override(text: str) -> dict[str, Any]:
    key, equals, value = text.partition("=")
    if not equals:
        raise ConfigError(f"--set {text!r}: write key=value")
    try:
        return tomllib.loads(f"{key} = {value}")
    except tomllib.TOMLDecodeError:
        return tomllib.loads(f"{key} = {json.dumps(value)}")  # text needs no quotes


def _merged(values: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    merged = dict(values)
    for key, change in changes.items():
        inner = merged.get(key)
        merged[key] = _merged(inner, change) if isinstance(inner, dict) and isinstance(change, dict) else change
    return merged


def _convert(value: Any, wanted: Any, where: str) -> Any:
    origin, arguments = typing.get_origin(wanted), typing.get_args(wanted)
    if origin is typing.Literal:
        return _one_of(value, arguments, where)
    if origin is tuple and isinstance(value, list):
        return tuple(_convert(item, arguments[0], where) for item in value)
    if origin is dict and isinstance(value, dict):
        return {key: _convert(item, arguments[1], f"{where}.{key}") for key, item in value.items()}
    if arguments and origin not in (tuple, dict):  # a union such as `Path | None`
        kind = next(option for option in arguments if option is not type(None))
        left_out = value is None or (value == LEFT_OUT and kind is not str)
        return None if left_out else _convert(value, kind, where)
    if is_dataclass(wanted) and isinstance(value, dict):
        return config_from_values(typing.cast(type, wanted), value, where)
    return _scalar(value, wanted, where)


def _one_of(value: Any, options: tuple[Any, ...], where: str) -> Any:
    if value not in options:
        raise ConfigError(f"{where}: {value!r} is none of {', '.join(map(repr, options))}")
    return value


def _scalar(value: Any, wanted: Any, where: str) -> Any:
    if wanted is Path and isinstance(value, str):
        return Path(value)
    if wanted is float and type(value) is int:
        return float(value)
    if type(value) is not wanted:
        raise ConfigError(f"{where}: expected {getattr(wanted, '__name__', wanted)}, got {value!r}")
    return value
