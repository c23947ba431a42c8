"""Pydantic's findings as the service's own error."""

from __future__ import annotations

import itertools
from collections.abc import Collection, Iterable, Mapping
from typing import Any

from service.errors import InvalidRequest

MAX_VALUE_CHARACTERS = 60
MAX_FINDINGS = 20
PREFIX_OF_OURS = "Value error, "  # what pydantic puts before a sentence of our own


def invalid_request(findings: Iterable[Mapping[str, Any]], known: Collection[str] = ()) -> InvalidRequest:
    """Return one error that names the field and value of each of the first findings.

    Args:
        findings: rows as `ValidationError.errors()` returns them.
        known: the fields that an unknown one may have meant.
    """
    findings = list(itertools.islice(findings, MAX_FINDINGS))
    rows = [{"field": _field(row), "message": _message(row, known)} for row in findings]
    sentences = [f"{_subject(row)}: {_message(row, known)}" for row in findings]
    return InvalidRequest("; ".join(sentences), errors=rows)


def _message(row: Mapping[str, Any], known: Collection[str]) -> str:
    if row["type"] == "extra_forbidden" and known:
        return f"is not known here: choose from {', '.join(known)}"
    return str(row["msg"]).removeprefix(PREFIX_OF_OURS)


def _field(row: Mapping[str, Any]) -> str:
    # FastAPI puts the place of the value in front.
    return ".".join(str(part) for part in row["loc"] if part != "query")


def _subject(row: Mapping[str, Any]) -> str:
    field, value = _field(row), repr(row["input"])
    if not field:
        return "the request"
    if row["type"] == "missing" or len(value) > MAX_VALUE_CHARACTERS:
        return field
    return f"{field} is {value}"
