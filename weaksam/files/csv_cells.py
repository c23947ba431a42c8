"""Texts as cells of a CSV that a spreadsheet opens: none begins as a formula does, and each can be read back.

Excel and others run a cell such as `=cmd|...`, and whoever names a file or writes a tag chooses its first sign. A path
gets `./` before it, which is the same path; another text gets a blank, which readers of tags strip.
"""

from __future__ import annotations

FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r")


def path_cell(path: str) -> str:
    """Return a path below a folder as a cell."""
    return f"./{path}" if path.startswith(FORMULA_STARTS) else path


def path_of(cell: str) -> str:
    """Return the path that `path_cell` was given."""
    return cell[2:] if cell.startswith("./") and cell[2:].startswith(FORMULA_STARTS) else cell


def text_cell(text: str) -> str:
    """Return any other text as a cell."""
    return f" {text}" if _is_risky(text) else text


def text_of(cell: str) -> str:
    """Return the text that `text_cell` was given."""
    return cell[1:] if cell.startswith(" ") and _is_risky(cell) else cell


def _is_risky(text: str) -> bool:
    return text.lstrip(" ").startswith(FORMULA_STARTS)
