"""Numbers, sizes and flags as a file writes them, which may be wrong in any way."""

from __future__ import annotations

from typing import Any

SET = ("1", "1.0", "true")


def written_number(value: Any) -> float:
    """Return a number, or the number that a text says; it may be infinite or none (nan).

    Raises:
        TypeError, ValueError, OverflowError: it is none. JSON's `true` is none either, though Python takes it for 1.
    """
    if isinstance(value, bool):
        raise TypeError(f"{value} is no number")
    return float(value)


def declared_size_hw(height: Any, width: Any) -> tuple[int, int] | None:
    """Return the size of an image that a file declares, or None if these are no sides of an image."""
    try:
        sides = int(written_number(height)), int(written_number(width))
    except (TypeError, ValueError, OverflowError):
        return None
    return sides if min(sides) > 0 else None


def is_set(flag: Any) -> bool:
    """Return whether a flag is set, whether it is a truth value, a number or a text."""
    return str(flag).strip().lower() in SET
