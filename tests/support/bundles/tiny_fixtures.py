"""Fixtures around the tiny bundle; a conftest.py takes them by importing them."""

from __future__ import annotations

from collections.abc import Iterator

import httpx
import pytest

from models.bundle import Bundle
from service.app import create_app
from tests.support.bundles.service_parts import tiny_settings
from tests.support.bundles.tiny_bundle import write_tiny_bundle
from tests.support.servers.live_server import live_server


@pytest.fixture(scope="session")
def tiny_bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    """A valid bundle of real ONNX graphs; read only."""
    return write_tiny_bundle(tmp_path_factory.mktemp("tiny_bundle"))


@pytest.fixture(scope="module")
def tiny_service(tiny_bundle: Bundle) -> Iterator[httpx.Client]:
    """A client of the whole service on the tiny bundle, over a socket."""
    settings = tiny_settings(tiny_bundle.folder, max_body_bytes=200_000, max_pixels=4_000_000, max_tags=20)
    with live_server(create_app(settings)) as url, httpx.Client(base_url=url, timeout=30) as client:
        yield client
