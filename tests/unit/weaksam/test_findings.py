"""Faults in plain English: no word of pydantic's or Python's, and always the field."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Annotated, Any

import pytest
from pydantic import BaseModel, Field, TypeAdapter, ValidationError

from service.auth.api_keys import KeyFile
from service.http.integrations.cvat.schemas import DetectorBody, InteractorBody
from service.http.integrations.label_studio.smart_tools import DrawnBox, DrawnPoint
from service.http.integrations.xanylabeling.schemas import PredictBody
from weaksam.findings import PATTERN_WORDS, fault_at, faults_of, first_fault, json_words, shown
from weaksam.formats.labelled_document import LabelledDocument
from weaksam.mask_schemas import BASE64, FLAG
from weaksam.review.schemas import ClaimRequest, Decision
from weaksam.schemas import JsonDetectRequest
from weaksam.segment_schemas import JsonSegmentRequest

SCHEMAS: tuple[type[BaseModel], ...] = (
    *(JsonDetectRequest, JsonSegmentRequest, ClaimRequest, Decision, DetectorBody, InteractorBody, PredictBody),
    *(DrawnPoint, DrawnBox, KeyFile, LabelledDocument),
)
ODD: tuple[Any, ...] = (
    *(None, True, -1, 1.5, 10**400, 1e30, float("nan"), float("inf"), "", "abc", "x" * 300, b"bytes", object()),
    *("\ud800", ["\ud800"]),
    *([], [1], ["a"], [None], [[1]], [[1, 2, 3, 4, 5]], {}, {"a": 1}, {1: 2}, [{}], [{"type": "point", "data": [1]}]),
)
JUDGED_BY_VALIDATORS = {BASE64, FLAG}
# Words of pydantic, Python and pattern languages; `Value error` is what pydantic puts before others' sentences.
FOREIGN = re.compile(
    r"Input|[Vv]alid (?!tags)|[Tt]uple|\bdict|None\b|\bstr\b|\bint(eger)?\b|float|bool|parse|model|instance|permitted"
    r"|Value error|\^|\\\\|tag using|discriminator|True\b|False\b"
)


def faults(schema: type[BaseModel], values: Any) -> list[Any]:
    try:
        schema.model_validate(values)
    except ValidationError as error:
        return list(faults_of(error.errors()))
    return []


@pytest.mark.parametrize("schema", SCHEMAS, ids=lambda schema: schema.__name__)
def test_no_odd_value_is_met_with_a_foreign_word_or_without_its_field(schema: type[BaseModel]) -> None:
    met = 0
    for name in schema.model_fields:
        for value in ODD:
            for fault in faults(schema, {name: value}):
                met += 1
                assert not FOREIGN.search(fault.message), (name, value, fault)
                assert fault.field, (name, value, fault)
    assert met > len(schema.model_fields)


def patterns(schema: Any) -> Iterator[str]:
    parts = schema.values() if isinstance(schema, dict) else schema if isinstance(schema, list) else ()
    if isinstance(schema, dict) and isinstance(schema.get("pattern"), str):
        yield schema["pattern"]
    for part in parts:
        yield from patterns(part)


def test_every_pattern_of_a_schema_is_told_in_words() -> None:
    for schema in SCHEMAS:
        told = set(patterns(schema.model_json_schema()))
        assert told - JUDGED_BY_VALIDATORS <= set(PATTERN_WORDS), schema


WRONG: dict[str, tuple[Any, Any, str]] = {
    "null for a list": (tuple[int, ...], None, "it is null: must be a list in square brackets"),
    "too few": (tuple[tuple[int, int, int], ...], [[1, 2, 3], [1]], "[1] is [1]: must have 3 items, not 1"),
    "too many": (tuple[int, int], [1, 2, 3], "it is [1, 2, 3]: must have at most 2 items, not 3"),
    "a limit": (Annotated[float, Field(le=1e6)], 2e6, "it is 2000000.0: must be at most 1000000"),
    "not a number": (Annotated[float, Field(le=1)], float("nan"), "it is NaN: must be a finite number"),
    "endless digits": (float, 10**5000, "it is too large: give a smaller number"),
    "an empty text": (Annotated[str, Field(min_length=1)], "", "it is '': must not be empty"),
    "a short text": (Annotated[str, Field(min_length=3)], "a", "it is 'a': must have at least 3 characters"),
    "letters beyond ASCII": (tuple[int], ["Öse"], "[0] is 'Öse': must be a whole number"),
    "half a character": (int, ["\ud800"], 'it is ["\ufffd"]: must be a whole number'),
}


@pytest.mark.parametrize(("kind", "value", "sentence"), WRONG.values(), ids=list(WRONG))
def test_field_value_and_remedy_are_in_one_sentence(kind: Any, value: Any, sentence: str) -> None:
    with pytest.raises(ValidationError) as caught:
        TypeAdapter(kind).validate_python(value)
    assert first_fault(caught.value).sentence("it") == sentence
    assert first_fault(caught.value, secret=True).value is None


WHOLE: dict[str, tuple[type[BaseModel], dict[str, Any], str, str]] = {
    "a box the wrong way round": (JsonSegmentRequest, {"box": [20, 20, 10, 30]}, "box", "x0 must be below x1"),
    "no prompt": (JsonSegmentRequest, {"points": [[1, 2, 0]]}, "points", "give a box, or at least one point"),
    "a box of a decision": (
        Decision,
        {"reviewer": "a", "version": 0, "state": "corrected", "objects": [{"label": "Nut", "box_xyxy": [9, 1, 2, 3]}]},
        "objects[0].box_xyxy",
        "x0 must be below x1",
    ),
    "a name twice": (
        KeyFile,
        {"keys": [{"name": name, "sha256": "0" * 64} for name in "aba"]},
        "keys[2].name",
        "several keys are named 'a'",
    ),
    "a mark that is no click": (
        PredictBody,
        {"model": "weaksam", "image": "", "params": {"marks": [{"type": "point", "data": [1], "label": 1}]}},
        "params.marks[0].data",
        "must have 2 items, not 1",
    ),
}


@pytest.mark.parametrize(("schema", "values", "field", "message"), WHOLE.values(), ids=list(WHOLE))
def test_a_rule_over_a_whole_object_names_its_field(
    schema: type[BaseModel], values: dict[str, Any], field: str, message: str
) -> None:
    [fault] = faults(schema, values)
    assert fault.field == field
    assert fault.message.startswith(message)


def test_unknown_fields_are_met_with_the_known_ones_at_the_root_alone() -> None:
    wrong = {"reviewer": "a", "version": 0, "state": "corrected", "b": 1, "objects": [{"label": "", "c": 1}]}
    with pytest.raises(ValidationError) as caught:
        Decision.model_validate(wrong)
    told = {fault.field: fault.message for fault in faults_of(caught.value.errors(), ("reviewer", "version"))}
    assert told["b"] == "is not known here: choose from reviewer, version"
    assert told["objects[0].c"] == "is not known here: leave it out"


def test_braces_in_a_sentence_of_ours_stay() -> None:
    assert first_fault(fault_at(("tags",), [1], 'send {"tags": []}')).message == 'send {"tags": []}'


def test_what_is_long_or_no_json_is_not_shown() -> None:
    deep: list[Any] = []
    for _ in range(100_000):
        deep = [deep]
    assert [shown(value) for value in (b"a", object(), deep, 10**5000, "x" * 61)] == [None] * 5


def test_the_end_of_a_json_text_is_told_without_abbreviations() -> None:
    assert json_words("EOF while parsing a list at line 1 column 1") == "it ends within a list at line 1 column 1"
