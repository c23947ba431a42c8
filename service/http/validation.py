"""Pydantic's findings in the service's own words."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping
from typing import Any

from service.errors import InvalidRequest

MOST_VALUE_CHARACTERS = 60
MOST_FINDINGS = 20


def invalid_request(findings: Iterable[Mapping[str, Any]]) -> InvalidRequest:
    """One error for the first findings, rows as of `ValidationError.errors()`; it names each field and its value."""
    findings = list(itertools.islice(findings, MOST_FINDINGS))
    rows = [{"field": _field(row), "message": row["msg"]} for row in findings]
    sentences = [f"{_subject(row)}: {row['msg']}" for row in findings]
    return InvalidRequest("; ".join(sentences), errors=rows)


def _field(row: Mapping[str, Any]) -> str:
    # FastAPI puts in front where the value stood.
    return ".".join(str(part) for part in row["loc"] if part != "query")


def _subject(row: Mapping[str, Any]) -> str:
    field, value = _field(row), repr(row["input"])
    if row["type"] == "missing" or len(value) > MOST_VALUE_CHARACTERS:
        return field
    return f"{field} is {value}"
