"""Tritonservers for the tests of a folder; a conftest.py takes them by importing them."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from deploy.triton.config import TritonOptions
from deploy.triton.repository import write_repository
from models.bundle import Bundle
from service.backends.base import Backend
from tests.support.bundles.service_parts import PATIENCE_S
from tests.support.triton.server import TritonServer, require_triton, running_triton

# One thread and few sizes to warm up: these servers share two cores with everything else.
SMALL = TritonOptions("python", "cpu", max_batch=4, threads=1)


def tiny_repository(bundle: Bundle, folder: Path, options: TritonOptions = SMALL) -> Path:
    """Write a bundle as a model repository of platform `python`; skips where there is no tritonserver."""
    require_triton()
    write_repository(bundle, folder, options)
    return folder


async def until_ready(backend: Backend) -> None:
    """Wait for something that a server brings about."""
    async with asyncio.timeout(PATIENCE_S):
        while not await backend.ready():  # noqa: ASYNC110 - what it waits for knows nothing of this loop
            await asyncio.sleep(0.05)


@pytest.fixture(scope="session")
def tiny_triton(tiny_bundle: Bundle, tmp_path_factory: pytest.TempPathFactory) -> Iterator[TritonServer]:
    """A tritonserver over the tiny bundle, for tests that leave it as it is."""
    with running_triton(tiny_repository(tiny_bundle, tmp_path_factory.mktemp("repository"))) as server:
        yield server
