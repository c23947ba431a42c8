"""Options of a run that differ from those of the run before, in the words of the command line."""

from __future__ import annotations

from typing import Any


def told_changes(before: dict[str, Any], now: dict[str, Any]) -> str:
    """Return the options that differ, as the command line names them."""
    names = [name for name in sorted({*before, *now}) if before.get(name) != now.get(name)]
    return ", ".join(
        f"--{name.replace('_', '-')} was {_told(before.get(name))}, now it is {_told(now.get(name))}" for name in names
    )


def _told(value: object) -> str:
    if value is None or value is False:
        return "not given"
    return "given" if value is True else str(value)
