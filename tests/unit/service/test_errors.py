from __future__ import annotations

from typing import get_args

import pytest

from models.image import ImageErrorCode
from service import errors
from service.errors import BackendFailure, Busy, RequestError, ServiceError, UnknownTag
from service.http.error_table import error_classes, error_table
from service.inference.decoding import ERRORS_BY_CODE


def test_no_two_errors_share_a_code() -> None:
    codes = [error.code for error in error_classes()]
    assert len(codes) == len(set(codes))


@pytest.mark.parametrize("error", error_classes(), ids=lambda error: error.code)
def test_every_error_says_what_it_is_and_what_to_do(error: type[ServiceError]) -> None:
    assert error.title[0].isupper()
    assert not error.title.endswith(".")
    assert error.remedy.endswith(".")
    assert error.__name__ in (errors.__doc__ or ""), "the tree in the docstring names every error"
    assert f"| `{error.code}` | {error.status} | {error.title}. {error.remedy} |" in error_table()


def test_request_errors_are_4xx_and_the_others_5xx() -> None:
    for error in error_classes():
        assert (400 <= error.status < 500) == issubclass(error, RequestError), error


def test_every_error_of_an_image_is_mapped() -> None:
    assert set(ERRORS_BY_CODE) == set(get_args(ImageErrorCode))


def test_an_error_carries_what_the_response_needs() -> None:
    assert Busy("full", retry_after_s=3).retry_after_s == 3
    assert UnknownTag("no label", unknown=[{"tag": "x", "nearest": ()}]).extras == {
        "unknown": [{"tag": "x", "nearest": ()}]
    }
    assert str(BackendFailure("graph cam: wrong rank")) == "graph cam: wrong rank"
    assert BackendFailure.code == "internal_error"
