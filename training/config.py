"""Strict experiment settings: one TOML file per stage, read into a frozen dataclass."""

from __future__ import annotations

import difflib
import json
import tomllib
import typing
from collections.abc import Mapping, Sequence
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any, TypeVar

Config = TypeVar("Config")


class ConfigError(ValueError):
    """A setting that cannot be used; the message names file, key and remedy."""


def load_config(kind: type[Config], path: Path, overrides: Sequence[str] = ()) -> Config:
    """Read ``path`` into the dataclass ``kind``; ``overrides`` are ``key=value`` texts that win over the file.

    Raises:
        ConfigError: unreadable file, unknown key (with the nearest name), wrong type or missing value.
    """
    try:
        values = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, tomllib.TOMLDecodeError) as error:
        raise ConfigError(f"{path}: cannot be read as TOML ({error})") from error
    values |= dict(_parse_override(text) for text in overrides)
    return config_from_values(kind, values, str(path))


def config_from_values(kind: type[Config], values: Mapping[str, Any], where: str) -> Config:
    """Build the dataclass ``kind`` from plain values, checking every key and type; raises ConfigError."""
    types = typing.get_type_hints(kind)
    for key in values:
        if key not in types:
            nearest = difflib.get_close_matches(key, types, n=1, cutoff=0.0)[0]
            raise ConfigError(f"{where}: unknown key {key!r}: did you mean {nearest!r}?")
    converted = {key: _convert(value, types[key], f"{where}: {key}") for key, value in values.items()}
    try:
        return kind(**converted)
    except TypeError as error:
        raise ConfigError(f"{where}: {error}") from error


def save_config(config: Any, path: Path) -> None:
    """Write the resolved settings as JSON."""
    path.write_text(json.dumps(config_values(config), indent=1) + "\n", encoding="utf-8")


def config_values(config: Any) -> dict[str, Any]:
    """The settings as plain JSON values, paths as text."""
    plain: dict[str, Any] = json.loads(json.dumps(asdict(config), default=str))
    return plain


def override_flags(kind: type[Any]) -> str:
    """The keys that ``--set`` accepts, for help texts."""
    return ", ".join(field.name for field in fields(kind))


def _parse_override(text: str) -> tuple[str, Any]:
    key, equals, value = text.partition("=")
    if not equals:
        raise ConfigError(f"--set {text!r}: write key=value")
    try:
        return key.strip(), tomllib.loads(f"value = {value}")["value"]
    except tomllib.TOMLDecodeError:
        return key.strip(), value


def _convert(value: Any, wanted: Any, where: str) -> Any:
    options = typing.get_args(wanted) if typing.get_origin(wanted) not in (tuple, typing.Literal) else ()
    if options:  # a union such as `Path | None`
        return _convert(value, next(option for option in options if option is not type(None)), where)
    if typing.get_origin(wanted) is typing.Literal:
        if value not in typing.get_args(wanted):
            raise ConfigError(f"{where}: {value!r} is none of {', '.join(map(repr, typing.get_args(wanted)))}")
        return value
    if typing.get_origin(wanted) is tuple and isinstance(value, list):
        return tuple(_convert(item, typing.get_args(wanted)[0], where) for item in value)
    if wanted is Path and isinstance(value, str):
        return Path(value)
    if wanted is float and type(value) is int:
        return float(value)
    if type(value) is not wanted:
        raise ConfigError(f"{where}: expected {getattr(wanted, '__name__', wanted)}, got {value!r}")
    return value
