"""Strict settings: TOML or JSON into frozen dataclasses, with every key and type checked.

A TOML file, or a table in it, may begin with ``extends = "own.toml"``, a path relative to the file: it then holds what
differs from there.
"""

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

from pydantic import TypeAdapter, ValidationError

from weaksam.errors import UserError
from weaksam.findings import first_fault

Config = TypeVar("Config")
# TOML has no null: `--set section=none` leaves out a section, a path or a number.
LEFT_OUT = "none"
EXTENDS = "extends"

# Keys that had another name. The old name is still read, with a warning.
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


class ConfigError(UserError):
    """A setting that cannot be used; the message names file, key and remedy."""


def load_config(kind: type[Config], path: Path, overrides: Sequence[str] = ()) -> Config:
    """Read ``path`` into the dataclass ``kind``; ``overrides`` are ``key=value`` texts that win over the file.

    Raises:
        ConfigError: unreadable file, unknown key (with the nearest name), wrong type or missing value.
    """
    return config_from_values(kind, read_values(path, overrides), str(path))


def read_values(path: Path, overrides: Sequence[str] = ()) -> dict[str, Any]:
    """Return the plain values of a TOML file, of what it extends, and of ``key=value`` texts that win over both.

    Raises:
        ConfigError: a file cannot be read, or extends itself.
    """
    values = _read_extended(path, ())
    for text in overrides:
        values = _merged(values, _parse_override(text))
    return values


def config_from_values(kind: type[Config], values: Mapping[str, Any], where: str) -> Config:
    """Build the dataclass ``kind`` from plain values; raises ConfigError as `load_config` does."""
    present = _with_known_keys(values, kind, where)
    try:
        # Strict, and as JSON, which knows lists and no tuples: a text is no number, and 1 is a float too.
        return TypeAdapter(kind).validate_json(json.dumps(present), strict=True)
    except ValidationError as error:
        fault = first_fault(error)
        # Without a field, the message is about several settings and names them itself.
        told = fault.sentence("") if fault.field else fault.message
        raise ConfigError(f"{where}: {told}") from error


def config_values(config: Any) -> dict[str, Any]:
    """Return the settings as plain JSON values, paths as text."""
    plain: dict[str, Any] = json.loads(json.dumps(asdict(config), default=str))
    return plain


def _read_extended(path: Path, extending: tuple[Path, ...]) -> dict[str, Any]:
    if path.resolve() in extending:
        raise ConfigError(f"{path}: {EXTENDS}: the file extends itself")
    try:
        values = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read ({error.strerror or error})") from error
    except ValueError as error:  # of TOML, or of its encoding
        raise ConfigError(f"{path}: cannot be read as TOML ({error})") from error
    return _extended(values, path, (*extending, path.resolve()))


def _extended(table: Mapping[str, Any], path: Path, extending: tuple[Path, ...]) -> dict[str, Any]:
    """Return a table of the file ``path`` over the files that it and the tables in it extend."""
    own = {
        key: _extended(value, path, extending) if isinstance(value, dict) else value
        for key, value in table.items()
        if key != EXTENDS
    }
    parent = table.get(EXTENDS)
    if parent is None:
        return own
    if not isinstance(parent, str):
        raise ConfigError(f"{path}: {EXTENDS}: expected the path of a TOML file, got {parent!r}")
    return _merged(_read_extended(path.parent / parent, extending), own)


def _with_known_keys(values: Mapping[str, Any], kind: Any, where: str) -> dict[str, Any]:
    """Return the values by the names that keys have now, without what `LEFT_OUT` leaves out."""
    types = typing.get_type_hints(kind)
    present = _with_present_names(values, types, where)
    for key in present:
        if key not in types:
            nearest = difflib.get_close_matches(key, types, n=1)
            remedy = f"did you mean {nearest[0]!r}?" if nearest else f"choose from {', '.join(types)}"
            raise ConfigError(f"{where}: unknown key {key!r}: {remedy}")
    return {key: _known(value, types[key], f"{where}: {key}") for key, value in present.items()}


def _known(value: Any, wanted: Any, where: str) -> Any:
    options = [option for option in typing.get_args(wanted) if option is not type(None)]
    optional = len(options) < len(typing.get_args(wanted))
    if optional and value == LEFT_OUT and str not in options:
        return None
    kind = options[0] if optional else wanted
    if typing.get_origin(kind) is tuple and isinstance(value, list):
        item_kind = typing.get_args(kind)[0]
        return [_known(item, item_kind, f"{where}[{index}]") for index, item in enumerate(value)]
    if typing.get_origin(kind) in (dict, Mapping) and isinstance(value, Mapping):
        value_kind = typing.get_args(kind)[1]
        return {key: _known(item, value_kind, f"{where}.{key}") for key, item in value.items()}
    nested = is_dataclass(kind) and isinstance(value, Mapping)
    return _with_known_keys(value, kind, where) if nested else value


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


def _parse_override(text: str) -> dict[str, Any]:
    key, equals, value = text.partition("=")
    if not equals:
        raise ConfigError(f"--set {text!r}: write key=value")
    try:
        return tomllib.loads(f"{key} = {value}")
    except tomllib.TOMLDecodeError:
        pass
    try:
        return tomllib.loads(f"{key} = {json.dumps(value)}")  # text needs no quotes
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"--set {text!r}: {key!r} is no key; write key=value") from error


def _merged(values: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    merged = dict(values)
    for key, change in changes.items():
        inner = merged.get(key)
        merged[key] = _merged(inner, change) if isinstance(inner, dict) and isinstance(change, dict) else change
    return merged
