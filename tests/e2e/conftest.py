"""The page as a user opens it: the service with its default settings, and a browser."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser

from service.app import create_app
from service.settings import load_settings
from tests.support.browser.labelling_page import chromium
from tests.support.servers.live_server import live_server


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    """The service with its default settings."""
    with live_server(create_app(load_settings())) as address:
        yield address


@pytest.fixture(scope="module")
def browser(url: str) -> Iterator[Browser]:
    """One Chromium for all tests of a file."""
    with chromium() as started:
        yield started
