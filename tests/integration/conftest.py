"""The tiny bundle and the fake service for the tests of this folder."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.bundles.tiny_fixtures import tiny_bundle, tiny_service
from tests.support.fakes.fake_service import FakeService, fake_app
from tests.support.servers.live_server import live_server
from tests.support.triton.fixtures import tiny_triton

__all__ = ["tiny_bundle", "tiny_service", "tiny_triton"]


@pytest.fixture
def fake() -> FakeService:
    """What the fake service has seen, and what it shall answer."""
    return FakeService()


@pytest.fixture
def url(fake: FakeService) -> Iterator[str]:
    """The address of the fake service, over a socket."""
    with live_server(fake_app(fake)) as address:
        yield address
