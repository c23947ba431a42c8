"""Answers of the service as typed documents, for tests of what is made from them."""

from __future__ import annotations

from collections.abc import Iterable

from tests.support.fakes.fake_service import FakeService
from weaksam.schemas import DetectResult


def detect_result(content: bytes, tags: Iterable[str]) -> DetectResult:
    """What the fake service answers to a picture of this content."""
    return DetectResult.model_validate(FakeService().answer(content, tags), extra="ignore")
