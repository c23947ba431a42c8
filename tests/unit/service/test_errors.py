from __future__ import annotations

from collections.abc import Iterator
from typing import get_args

import pytest

from models.image import ImageErrorCode
from service import errors
from service.errors import PROBLEM_TYPES, BackendFailure, Busy, Code, RequestError, ServiceError, UnknownTag
from service.http.problems import CODE_OF_STATUS
from service.inference.decoding import ERROR_OF_IMAGE


def leaves(parent: type[ServiceError]) -> Iterator[type[ServiceError]]:
    """The errors of the tree; a backend tells some of them apart for itself."""
    children = [child for child in parent.__subclasses__() if child.__module__ == errors.__name__]
    if not children:
        yield parent
    for child in children:
        yield from leaves(child)


def test_every_code_has_a_problem_type_and_the_table_has_no_other() -> None:
    assert set(PROBLEM_TYPES) == set(get_args(Code))


def test_every_error_has_a_code_and_every_code_is_raised_by_something() -> None:
    raised = {error.code for error in leaves(ServiceError)}
    assert raised | set(CODE_OF_STATUS.values()) == set(get_args(Code))


@pytest.mark.parametrize("error", list(leaves(ServiceError)))
def test_the_tree_in_the_docstring_has_each_error_with_its_code_and_status(error: type[ServiceError]) -> None:
    (line,) = (line for line in (errors.__doc__ or "").splitlines() if f"── {error.__name__} " in line)
    assert error.code in line
    assert str(PROBLEM_TYPES[error.code].status) in line


def test_request_errors_are_4xx_and_the_others_5xx() -> None:
    for error in leaves(ServiceError):
        status = PROBLEM_TYPES[error.code].status
        assert (400 <= status < 500) == issubclass(error, RequestError), error


def test_every_error_of_a_picture_is_mapped() -> None:
    assert set(ERROR_OF_IMAGE) == set(get_args(ImageErrorCode))


def test_an_error_carries_what_the_answer_needs() -> None:
    assert Busy("full", retry_after_s=3).retry_after_s == 3
    assert UnknownTag("no label", unknown=[{"tag": "x", "nearest": ()}]).extras == {
        "unknown": [{"tag": "x", "nearest": ()}]
    }
    assert str(BackendFailure("graph cam: wrong rank")) == "graph cam: wrong rank"
