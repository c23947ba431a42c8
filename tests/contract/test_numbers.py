"""No number of a request or of a keys file is taken from `true` or `false`, which Python has for 1 and 0."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from pydantic import BaseModel, TypeAdapter, ValidationError

from service.auth.api_keys import KeyFile
from service.http.integrations.cvat.schemas import DetectorBody, InteractorBody
from service.http.integrations.label_studio.smart_tools import DrawnBox, DrawnPoint
from service.http.integrations.xanylabeling.schemas import Parameters, PointMark, RectangleMark
from weaksam.mask_schemas import no_flag
from weaksam.review.schemas import ClaimRequest, Decision
from weaksam.schemas import JsonDetectRequest
from weaksam.segment_schemas import JsonSegmentRequest, whole_sign

# X-AnyLabeling's marks are read by a function of ours, so they stand here beside the parameters that hold them.
READ_FROM_OUTSIDE: tuple[type[BaseModel], ...] = (
    ClaimRequest,
    Decision,
    DetectorBody,
    DrawnBox,
    DrawnPoint,
    InteractorBody,
    JsonDetectRequest,
    JsonSegmentRequest,
    KeyFile,
    Parameters,
    PointMark,
    RectangleMark,
)
REFUSE_FLAGS = (no_flag, whole_sign)
Schema = dict[str, Any]


@pytest.mark.parametrize("kind", READ_FROM_OUTSIDE, ids=lambda kind: kind.__name__)
def test_true_is_no_number(kind: type[BaseModel]) -> None:
    assert list(numbers_from_flags(TypeAdapter(kind).core_schema, "")) == []


def test_a_plain_number_is_found() -> None:
    class Plain(BaseModel):
        sizes: tuple[int, float]
        version: int | None = None

    found = list(numbers_from_flags(TypeAdapter(Plain).core_schema, ""))
    assert found == [".sizes", ".sizes", ".version"]


@pytest.mark.parametrize("kind", READ_FROM_OUTSIDE, ids=lambda kind: kind.__name__)
def test_ranges_stand_in_the_schema_that_people_read(kind: type[BaseModel]) -> None:
    text = json.dumps(kind.model_json_schema())
    assert [word for word in ("ge", "gt", "le", "lt") if f'"{word}": ' in text] == []


def test_a_flag_in_place_of_a_number_is_told_so() -> None:
    with pytest.raises(ValidationError, match="must be a number, not true or false"):
        ClaimRequest.model_validate({"reviewer": "ann", "count": True})


def numbers_from_flags(node: Any, place: str) -> Iterator[str]:
    """Yield the place of each number in a schema of pydantic's core that takes true for 1."""
    if isinstance(node, list | tuple):
        for part in node:
            yield from numbers_from_flags(part, place)
    if not isinstance(node, dict):
        return
    if is_guarded(node):
        return
    if is_number(node):
        yield place
    for name, part in node.items():
        # The fields' schemas; `expected`, `default` and `metadata` hold values.
        if name == "fields" and isinstance(part, dict):
            for field, inner in part.items():
                yield from numbers_from_flags(inner, f"{place}.{field}")
        elif name not in ("expected", "default", "metadata", "serialization"):
            yield from numbers_from_flags(part, place)


def is_guarded(node: Schema) -> bool:
    function = node.get("function")
    return isinstance(function, dict) and function.get("function") in REFUSE_FLAGS


def is_number(node: Schema) -> bool:
    if node.get("type") == "literal":
        return any(type(value) is int for value in node["expected"])
    return node.get("type") in ("int", "float") and not node.get("strict")
