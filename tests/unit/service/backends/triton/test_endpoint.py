"""One endpoint over real gRPC, against a server that is too slow for every call."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import grpc
import numpy as np
import pytest
from tritonclient.grpc import service_pb2_grpc

from models.bundle import Bundle
from service.backends.triton.breaker import Breaker
from service.backends.triton.endpoint import Endpoint
from service.errors import DeadlineExceeded

FAIR_CALL_S = 0.3


class SlowServer(service_pb2_grpc.GRPCInferenceServiceServicer):  # type: ignore[misc]
    async def ModelInfer(self, request: Any, context: Any) -> None:  # noqa: N802 - the name that gRPC calls
        await asyncio.sleep(60)


@pytest.fixture
async def slow_url() -> AsyncIterator[str]:
    server = grpc.aio.server()
    service_pb2_grpc.add_GRPCInferenceServiceServicer_to_server(SlowServer(), server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    yield f"127.0.0.1:{port}"
    await server.stop(None)


async def test_a_late_call_counts_only_if_it_had_a_fair_time(tiny_bundle: Bundle, slow_url: str) -> None:
    breaker = Breaker(1, 60)
    endpoint = Endpoint(slow_url, tiny_bundle, breaker, None, FAIR_CALL_S)
    inputs = {"image": np.zeros((1, 64, 64, 3), np.uint8)}
    try:
        for timeout_s, allowed in ((0.02, True), (0.1, True), (FAIR_CALL_S, False)):
            with pytest.raises(DeadlineExceeded):
                await endpoint.infer("cam", inputs, ("scores",), timeout_s)
            assert breaker.allows() == allowed, f"{timeout_s} s"
    finally:
        await endpoint.aclose()


async def test_nobody_waits_for_a_probe_that_failed(
    tiny_bundle: Bundle, slow_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def odd_answer(_: Endpoint) -> None:
        raise KeyError("models")

    monkeypatch.setattr(Endpoint, "_check_models", odd_answer)
    endpoint = Endpoint(slow_url, tiny_bundle, Breaker(1, 60), None, FAIR_CALL_S)
    try:
        with pytest.raises(KeyError):
            await endpoint.probe(1)
        assert endpoint.probed.is_set()
        assert not endpoint.usable
    finally:
        await endpoint.aclose()
