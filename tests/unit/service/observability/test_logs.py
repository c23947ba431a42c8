from __future__ import annotations

import json
import logging

import pytest

from service.observability.logs import FIELDS, REQUEST_ID, JsonFormatter, request_id_of, setup_logging

HARMLESS = ["a", "0123abc", "trace:1.2_3-4", "x" * 64]
HARMFUL = [None, "", "x" * 65, "a b", "a\nb", 'a"b', "ü", "a;b", "<a>"]


@pytest.mark.parametrize("header", HARMLESS)
def test_a_harmless_id_is_kept(header: str) -> None:
    assert request_id_of(header) == header


@pytest.mark.parametrize("header", HARMFUL)
def test_any_other_gets_a_new_one(header: str | None) -> None:
    made = request_id_of(header)
    assert made != header
    assert len(made) == 32
    assert request_id_of(header) != made


def test_a_line_is_one_json_object_with_the_request_id_and_the_fields() -> None:
    record = logging.LogRecord("weaksam", logging.INFO, __file__, 1, "took\n%s", ("long",), None)
    setattr(record, FIELDS, {"status": 200})
    token = REQUEST_ID.set("abc")
    try:
        line = JsonFormatter().format(record)
    finally:
        REQUEST_ID.reset(token)
    assert "\n" not in line
    found = json.loads(line)
    assert found.pop("time").endswith("+00:00")
    assert found == {
        "level": "info",
        "logger": "weaksam",
        "message": "took\nlong",
        "request_id": "abc",
        "status": 200,
    }


def test_an_exception_is_in_the_same_line() -> None:
    try:
        raise ValueError("of the test")
    except ValueError as error:
        record = logging.LogRecord("x", logging.ERROR, __file__, 1, "failed", (), (type(error), error, None))
    line = JsonFormatter().format(record)
    assert "\n" not in line
    assert "ValueError: of the test" in json.loads(line)["exception"]


def test_logging_goes_to_stderr_from_the_given_level(capsys: pytest.CaptureFixture[str]) -> None:
    root = logging.getLogger()
    before = root.handlers[:], root.level
    try:
        setup_logging("warning")
        logging.getLogger("uvicorn.error").info("left out")
        logging.getLogger("uvicorn.error").warning("taken in")
        lines = capsys.readouterr().err.splitlines()
    finally:
        root.handlers[:], root.level = before
    assert [json.loads(line)["message"] for line in lines] == ["taken in"]
