"""The table of error codes in docs/api.md: `python -m service.http.error_table` prints it."""

from __future__ import annotations

import sys

from service.errors import ServiceError


def error_classes(parent: type[ServiceError] = ServiceError) -> list[type[ServiceError]]:
    """Return the classes below ``parent`` that have a code of their own, by status and code."""
    found = {child for child in parent.__subclasses__() if "code" in vars(child)}
    for child in parent.__subclasses__():
        found.update(error_classes(child))
    return sorted(found, key=lambda error: (error.status, error.code))


def error_table() -> str:
    """Return a Markdown table with one row for each code."""
    rows = [f"| `{error.code}` | {error.status} | {error.title}. {error.remedy} |" for error in error_classes()]
    return "\n".join(["| code | status | meaning and remedy |", "|---|---|---|", *rows, ""])


if __name__ == "__main__":
    sys.stdout.write(error_table())
