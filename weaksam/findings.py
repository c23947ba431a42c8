"""Pydantic's findings for people who know neither pydantic nor Python: where a value stands, what it must be."""

from __future__ import annotations

import json
import math
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from pydantic_core import PydanticCustomError, ValidationError

from weaksam.tag_texts import whole_text

MAX_VALUE_CHARACTERS = 60
PREFIX_OF_OURS = "Value error, "  # what pydantic puts before a sentence of our own
SHA256_PATTERN = "^[0-9a-f]{64}$"
KEY_NAME_PATTERN = "^[A-Za-z0-9._-]{1,64}$"
PATTERN_WORDS = {
    SHA256_PATTERN: "must be 64 characters, each a digit or one of the small letters a to f",
    KEY_NAME_PATTERN: "must be 1 to 64 letters, digits, dots, dashes and underscores",
}
TEXT = "must be a text in quotes"
LIST = "must be a list in square brackets"
OBJECT = "must be an object in curly brackets"
WHOLE_NUMBER = "must be a whole number"
NUMBER = "must be a number"
FLAG = "must be true or false"
# By pydantic's name of the finding. Members of its context stand in braces.
WORDS = {
    "missing": "is missing",
    "extra_forbidden": "is not known here: leave it out",
    "string_type": TEXT,
    "string_empty": "must not be empty",
    "string_unicode": "holds half a character: correct it",
    "string_too_short": "must have at least {min_length} characters",
    "string_too_long": "must have at most {max_length} characters",
    "literal_error": "must be {expected}",
    "bool_type": FLAG,
    "bool_parsing": FLAG,
    "int_type": WHOLE_NUMBER,
    "int_parsing": WHOLE_NUMBER,
    "int_from_float": WHOLE_NUMBER,
    "int_parsing_size": "is too large: give a smaller number",
    "float_type": NUMBER,
    "float_parsing": NUMBER,
    "finite_number": "must be a finite number",
    "greater_than": "must be more than {gt:.15g}",
    "greater_than_equal": "must be at least {ge:.15g}",
    "less_than": "must be less than {lt:.15g}",
    "less_than_equal": "must be at most {le:.15g}",
    "too_short": "must have at least {min_length} items, not {actual_length}",
    "too_long": "must have at most {max_length} items, not {actual_length}",
    "list_type": LIST,
    "tuple_type": LIST,
    "dict_type": OBJECT,
    "mapping_type": OBJECT,
    "model_type": OBJECT,
    "model_attributes_type": OBJECT,
    "dataclass_type": OBJECT,
    "path_type": "must be a path",
}
# Findings in which the value is missing, or does not matter.
WITHOUT_VALUE = frozenset({"missing", "extra_forbidden", "json_invalid"})
LIMITS = frozenset({"finite_number", "greater_than", "greater_than_equal", "less_than", "less_than_equal"})
# What the reader of JSON says in words of its own.
JSON_WORDS = {"EOF while parsing": "it ends within", "recursion limit exceeded": "too many brackets within brackets"}
Finding = Mapping[str, Any]


@dataclass(frozen=True)
class Fault:
    """What is wrong with one value.

    Attributes:
        field: where it stands, such as `points[0][1]`; empty for the whole document.
        value: as people write it; None if it is missing, long, secret or not what is wrong.
        message: what it must be.
    """

    field: str
    value: str | None
    message: str

    def sentence(self, whole: str) -> str:
        """Return field, value and message; ``whole`` is the name of the document, for a fault in no field."""
        subject, says_what_it_is = self.field or whole, self.message.startswith("is ")
        if self.value is not None:
            return f"{subject} is {self.value}{', which ' if says_what_it_is else ': '}{self.message}"
        return f"{subject}{' ' if says_what_it_is else ': '}{self.message}"


def faults_of(findings: Iterable[Finding], known: Collection[str] = (), *, secret: bool = False) -> Iterator[Fault]:
    """Yield the faults that findings tell of.

    Args:
        findings: rows as `ValidationError.errors()` returns them.
        known: the fields that an unknown one, at the root of the document, may have meant.
        secret: show no values.
    """
    for row in _with_short_lists(findings):
        yield Fault(place(row["loc"]), None if secret else _shown_value(row), _message(row, known))


def first_fault(error: ValidationError, *, secret: bool = False) -> Fault:
    """Return the first fault that an error tells of."""
    return next(faults_of(error.errors(include_url=False), secret=secret))


def fault_at(loc: tuple[str | int, ...], value: object, sentence: str) -> ValidationError:
    """Return what the validator of a whole object raises about one field of it."""
    kind = PydanticCustomError("value_error", "{sentence}", {"sentence": sentence})
    return ValidationError.from_exception_data("", [{"type": kind, "loc": loc, "input": value}])


def place(loc: Iterable[str | int]) -> str:
    """Return where a value stands, such as `params.marks[0].data`."""
    return "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in loc).removeprefix(".")


def shown(value: object) -> str | None:
    """Return a text in single quotes, and any other value as JSON; None if that is long or cannot be."""
    try:
        text = repr(value) if isinstance(value, str) else whole_text(json.dumps(value, ensure_ascii=False))
    except (TypeError, ValueError, RecursionError):  # no JSON; a number of thousands of digits; lists in lists in lists
        return None
    return text if len(text) <= MAX_VALUE_CHARACTERS else None


def json_words(error: object) -> str:
    """Return what a reader of JSON says about a text that is none."""
    text = str(error)
    for theirs, ours in JSON_WORDS.items():
        text = text.replace(theirs, ours)
    return text


def _with_short_lists(findings: Iterable[Finding]) -> Iterator[Finding]:
    """Yield findings, with one for each list that is too short in place of one for each item that it lacks."""
    row: Finding | None = None
    for found in findings:
        if found["type"] != "missing" or not found["loc"] or not isinstance(found["loc"][-1], int):
            if row is not None:
                yield row
                row = None
            yield found
            continue
        *parent, index = found["loc"]
        if row is not None and row["loc"] != tuple(parent):
            yield row
        words = f"must have {index + 1} items, not {len(found['input'])}"
        row = {"type": "short_list", "loc": tuple(parent), "msg": words, "input": found["input"]}
    if row is not None:
        yield row


def _message(row: Finding, known: Collection[str]) -> str:
    kind, context = _exact_kind(row), row.get("ctx", {})
    if kind == "extra_forbidden" and known and len(row["loc"]) == 1:
        return f"is not known here: choose from {', '.join(known)}"
    if kind == "string_pattern_mismatch":
        return PATTERN_WORDS.get(context["pattern"], f"must have the form {context['pattern']}")
    if kind == "json_invalid":
        return f"is not JSON: {json_words(context['error'])}"
    return WORDS[kind].format(**context) if kind in WORDS else str(row["msg"]).removeprefix(PREFIX_OF_OURS)


def _exact_kind(row: Finding) -> str:
    """Return pydantic's name of a finding, or that of the finding which says more."""
    kind, value = str(row["type"]), row["input"]
    if kind == "float_type" and isinstance(value, int) and not isinstance(value, bool):
        return "int_parsing_size"
    if kind in LIMITS and isinstance(value, float) and not math.isfinite(value):
        return "finite_number"
    return "string_empty" if kind == "string_too_short" and not value else kind


def _shown_value(row: Finding) -> str | None:
    # A sentence of ours about an object names the member that it means.
    about_object = row["type"] == "value_error" and isinstance(row["input"], Mapping)
    return None if row["type"] in WITHOUT_VALUE or about_object else shown(row["input"])
