"""Triton Inference Server over gRPC, one server or several that serve the same bundle.

A run of a graph changes nothing on the server, so repeating a call is safe. A call is repeated on another endpoint if
the first one was not reached, was lost during the call, or had a full queue.
"""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import Mapping, Sequence
from itertools import count

from tritonclient.grpc import InferenceServerClient
from tritonclient.utils import InferenceServerException

from models.bundle import Bundle, BundleError
from models.triton import sequence_number
from service.backends.base import Array, Tensors
from service.backends.triton.breaker import Breaker
from service.backends.triton.endpoint import Endpoint
from service.backends.triton.errors import RETRY_AFTER_S, EndpointFull, EndpointLost
from service.backends.triton.model_check import check_model
from service.backends.triton.shared_memory import InputMemory
from service.deadline import seconds_left
from service.errors import BackendMismatch, BackendUnavailable, DeadlineExceeded
from service.observability.logs import LOGGER_NAME
from service.observability.metrics import Metrics

START_CHECK_TIMEOUT_S = 2.0
PROBE_TIMEOUT_S = 2.0
# A call with less time than this cannot be expected to succeed.
MIN_CALL_S = 0.01
# If a call has less than this share of the full time left and is late, that says nothing about the server.
FAIR_SHARE = 0.5

logger = logging.getLogger(LOGGER_NAME)


class TritonBackend:
    """Balances calls over endpoints that serve the bundle, each behind its own circuit breaker.

    The first call connects, in its own event loop. From then on each endpoint is probed, so that one that comes back
    is used again.

    Args:
        bundle: the graphs to run; the served models must have its digest, inputs and outputs.
        metrics: records the state of endpoints and repeated calls.
        urls: `host:port` of each endpoint.
        call_timeout_s: time limit of a call that belongs to no request.
        probe_s: time between probes.
        breaker_failures: failures in a row after which an endpoint is not used for a while.
        breaker_open_s: length of that while.
        shared_memory_bytes: size of the memory shared with servers on this host; 0 sends inputs over the network.

    Raises:
        BackendMismatch: all endpoints can be reached and serve something else; it names model and difference.
    """

    kind = "triton"

    def __init__(
        self,
        bundle: Bundle,
        metrics: Metrics,
        *,
        urls: Sequence[str],
        call_timeout_s: float,
        probe_s: float = 1.0,
        breaker_failures: int = 5,
        breaker_open_s: float = 5.0,
        shared_memory_bytes: int = 0,
    ) -> None:
        _check_served(bundle, urls)
        self._bundle = bundle
        self._metrics = metrics
        self._urls = tuple(urls)
        self._call_timeout_s = call_timeout_s
        self._probe_s = probe_s
        self._breaker = breaker_failures, breaker_open_s
        self._memory = InputMemory(shared_memory_bytes) if shared_memory_bytes else None
        self._endpoints: list[Endpoint] = []
        self._watchers: list[asyncio.Task[None]] = []
        self._turn = count()
        self._closed = False

    async def infer(self, model: str, inputs: Mapping[str, Array], outputs: Sequence[str]) -> Tensors:
        await self._started()
        tried: list[Endpoint] = []
        while True:
            endpoint = self._select(tried)
            left_s = min(seconds_left(), self._call_timeout_s)
            if left_s < MIN_CALL_S:
                raise DeadlineExceeded(
                    "no time is left for the inference server: send a smaller image, or send it later"
                )
            try:
                return await endpoint.infer(model, inputs, outputs, left_s)
            except (EndpointLost, EndpointFull):
                tried.append(endpoint)
                if not self._usable(tried):
                    raise
                self._metrics.call_repeated()
            except DeadlineExceeded:
                # Another request with a later deadline may wait for the same result by now.
                if not MIN_CALL_S <= seconds_left() < math.inf:
                    raise

    async def ready(self) -> bool:
        if self._closed:
            return False
        await self._started()
        return bool(self._usable())

    async def aclose(self) -> None:
        self._closed = True
        for watcher in self._watchers:
            watcher.cancel()
        await asyncio.gather(*self._watchers, return_exceptions=True)
        await asyncio.gather(*(endpoint.aclose() for endpoint in self._endpoints))
        self._endpoints, self._watchers = [], []
        if self._memory is not None:
            self._memory.close()

    async def _started(self) -> None:
        """Connect, if not done yet, and wait until the state of each endpoint is known."""
        if self._closed:
            raise BackendUnavailable("the Triton backend is closed: the service is stopping", retry_after_s=1)
        if not self._endpoints:
            self._endpoints = [self._endpoint(url) for url in self._urls]
            self._watchers = [asyncio.create_task(self._watch(endpoint)) for endpoint in self._endpoints]
        for endpoint in self._endpoints:
            await endpoint.probed.wait()

    def _endpoint(self, url: str) -> Endpoint:
        return Endpoint(url, self._bundle, Breaker(*self._breaker), self._memory, FAIR_SHARE * self._call_timeout_s)

    async def _watch(self, endpoint: Endpoint) -> None:
        while True:
            try:
                await endpoint.probe(PROBE_TIMEOUT_S)
            except Exception:
                # Without further probes, the endpoint would never be used again.
                logger.exception("the probe of Triton at %s failed", endpoint.url)
            self._metrics.endpoint(endpoint.url, serving=endpoint.serving)
            # If there is no other endpoint, calls may wait for this one until their deadlines.
            if not endpoint.serving and self._usable([endpoint]):
                endpoint.abandon_calls()
            await asyncio.sleep(self._probe_s)

    def _usable(self, tried: Sequence[Endpoint] = ()) -> list[Endpoint]:
        return [endpoint for endpoint in self._endpoints if endpoint.usable and endpoint not in tried]

    def _select(self, tried: Sequence[Endpoint]) -> Endpoint:
        """Return the usable endpoint with the fewest calls on their way; equals take turns."""
        usable = self._usable(tried)
        if not usable:
            raise BackendUnavailable("no inference server is ready", retry_after_s=RETRY_AFTER_S)
        first = next(self._turn) % len(usable)
        return min(usable[first:] + usable[:first], key=lambda endpoint: endpoint.calls)


def _check_served(bundle: Bundle, urls: Sequence[str]) -> None:
    try:
        version = str(sequence_number(bundle))
    except BundleError as error:
        raise BackendMismatch(str(error)) from error
    mismatches = [found for url in urls if (found := _mismatch(bundle, url, version)) is not None]
    if len(mismatches) == len(urls):
        raise mismatches[0]


def _mismatch(bundle: Bundle, url: str, version: str) -> BackendMismatch | None:
    """Return what is wrong with a server's models; None if nothing is, or if it cannot be asked yet."""
    with InferenceServerClient(url) as client:
        try:
            for graph in bundle.graphs:
                metadata = client.get_model_metadata(graph, version, client_timeout=START_CHECK_TIMEOUT_S)
                config = client.get_model_config(graph, version, client_timeout=START_CHECK_TIMEOUT_S)
                check_model(bundle, graph, metadata, config.config)
        except BackendMismatch as error:
            return error
        except InferenceServerException as error:
            logger.warning("Triton at %s cannot be asked yet: %s", url, error.message())
    return None
