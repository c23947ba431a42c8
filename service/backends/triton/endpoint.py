"""One Triton server: its connection, its health, and calls of its models."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Coroutine, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from typing import Any

from tritonclient.grpc import InferInput, InferRequestedOutput, InferResult
from tritonclient.grpc.aio import InferenceServerClient
from tritonclient.utils import InferenceServerException

from models.bundle import Bundle
from models.triton import TRITON_TYPES, sequence_number
from service.backends.base import Array, Tensors
from service.backends.triton.breaker import Breaker
from service.backends.triton.errors import RETRY_AFTER_S, EndpointFull, EndpointLost, service_error
from service.backends.triton.model_check import check_model
from service.backends.triton.shared_memory import InputMemory
from service.errors import BackendFailure, BackendMismatch, DeadlineExceeded, ServiceError
from service.observability.logs import LOGGER_NAME
from service.observability.tracing import trace_headers

# Late probes after which an endpoint counts as lost: a single one may be late on a busy machine.
MAX_LATE_PROBES = 2
CHANNEL_OPTIONS = [
    ("grpc.max_send_message_length", -1),
    ("grpc.max_receive_message_length", -1),
    # By default gRPC waits up to two minutes before it connects again; a restarted server is back within seconds.
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.min_reconnect_backoff_ms", 1000),
    ("grpc.max_reconnect_backoff_ms", 1000),
]

logger = logging.getLogger(LOGGER_NAME)


class Endpoint:
    """Calls the models of `bundle` on one server. Make it inside the event loop that uses it.

    Args:
        fair_call_s: a call with less time may be late through no fault of the server.

    Attributes:
        url: `host:port` of its gRPC service.
        serving: whether the last probe found that it serves the bundle.
        probed: set after the first probe.
    """

    def __init__(
        self, url: str, bundle: Bundle, breaker: Breaker, memory: InputMemory | None, fair_call_s: float
    ) -> None:
        self.url = url
        self.serving = False
        self.probed = asyncio.Event()
        self._bundle = bundle
        self._version = str(sequence_number(bundle))
        self._breaker = breaker
        self._memory = memory
        self._fair_call_s = fair_call_s
        self._shares_memory = False
        self._client = InferenceServerClient(url, channel_args=CHANNEL_OPTIONS)
        self._problem = ""
        self._late = 0
        self._running: set[asyncio.Task[Any]] = set()

    @property
    def calls(self) -> int:
        """Number of calls on their way."""
        return len(self._running)

    @property
    def usable(self) -> bool:
        """Whether it serves the bundle and its breaker allows a call."""
        return self.serving and self._breaker.allows()

    async def infer(self, model: str, inputs: Mapping[str, Array], outputs: Sequence[str], timeout_s: float) -> Tensors:
        """Run a model once.

        Raises:
            EndpointLost, EndpointFull: another endpoint may succeed.
            DeadlineExceeded: the call and its time in the server's queue took longer than `timeout_s`.
            BackendFailure: model or inputs are wrong.
        """
        with self._judged(timeout_s), self._mapped(model), ExitStack() as lent:
            call = self._client.infer(
                model,
                [self._input(name, array, lent) for name, array in inputs.items()],
                self._version,
                [InferRequestedOutput(name) for name in outputs],
                timeout=max(1, int(timeout_s * 1e6)),
                client_timeout=timeout_s,
                headers=trace_headers(),
            )
            result = await self._run(call)
            return {name: result.as_numpy(name) for name in outputs}

    async def probe(self, timeout_s: float) -> None:
        """Find out whether it serves the bundle; call this again and again."""
        try:
            async with asyncio.timeout(timeout_s):
                await (self._check_alive() if self.serving else self._check_models())
        except TimeoutError:
            self._late += 1
            if not self.serving or self._late >= MAX_LATE_PROBES:
                self._lose(f"no response within {timeout_s:g} s")
        except BackendMismatch as error:
            self._lose(str(error))
        except InferenceServerException as error:
            self._lose(error.message())
        else:
            self._late = 0
            if not self.serving:
                logger.info("Triton at %s serves the bundle as version %s", self.url, self._version)
            self.serving, self._problem = True, ""
        finally:
            self.probed.set()

    def abandon_calls(self) -> None:
        """End the calls on their way as lost, so that they are repeated elsewhere."""
        for task in self._running:
            task.cancel()

    async def aclose(self) -> None:
        """Wait for the calls on their way, then disconnect."""
        await asyncio.gather(*self._running, return_exceptions=True)
        if self._shares_memory and self._memory is not None:
            with suppress(InferenceServerException):
                await self._client.unregister_system_shared_memory(self._memory.name, client_timeout=1)
        await self._client.close()

    @contextmanager
    def _judged(self, timeout_s: float) -> Iterator[None]:
        self._breaker.begin()
        try:
            yield
        except ServiceError as error:
            hurried = isinstance(error, DeadlineExceeded) and timeout_s < self._fair_call_s
            if hurried or isinstance(error, EndpointFull):
                self._breaker.left()
            else:
                self._breaker.failed()
            if isinstance(error, EndpointLost):
                self._lose(str(error.__cause__ or error))
            raise
        except BaseException:
            self._breaker.left()
            raise
        self._breaker.succeeded()

    @contextmanager
    def _mapped(self, model: str) -> Iterator[None]:
        try:
            yield
        except InferenceServerException as error:
            raise service_error(error, self.url, model) from error

    async def _run(self, call: Coroutine[None, None, InferResult]) -> InferResult:
        task = asyncio.create_task(call)
        self._running.add(task)
        try:
            return await task
        except asyncio.CancelledError:
            caller = asyncio.current_task()
            if caller is not None and caller.cancelling():
                raise
            raise EndpointLost("the inference server was lost during the call", retry_after_s=RETRY_AFTER_S) from None
        finally:
            self._running.discard(task)

    def _input(self, name: str, array: Array, lent: ExitStack) -> InferInput:
        if array.dtype.name not in TRITON_TYPES:
            raise BackendFailure(f"input {name} has the element type {array.dtype}, which Triton does not know")
        tensor = InferInput(name, array.shape, TRITON_TYPES[array.dtype.name])
        if self._shares_memory and self._memory is not None:
            offset = lent.enter_context(self._memory.lent(array))
            if offset is not None:
                return tensor.set_shared_memory(self._memory.name, array.nbytes, offset)
        return tensor.set_data_from_numpy(array)

    async def _check_alive(self) -> None:
        ready = await asyncio.gather(
            *(self._client.is_model_ready(name, self._version) for name in self._bundle.graphs)
        )
        if not all(ready):
            raise InferenceServerException(f"the models of version {self._version} are not all ready")

    async def _check_models(self) -> None:
        await self._check_alive()
        for graph in self._bundle.graphs:
            metadata = await self._client.get_model_metadata(graph, self._version)
            config = await self._client.get_model_config(graph, self._version)
            check_model(self._bundle, graph, metadata, config.config)
        if self._memory is not None:
            await self._share(self._memory)

    async def _share(self, memory: InputMemory) -> None:
        try:
            await self._client.unregister_system_shared_memory(memory.name)
            await self._client.register_system_shared_memory(memory.name, memory.key, memory.size)
        except InferenceServerException as error:
            logger.warning(
                "Triton at %s cannot share memory, inputs go over the network: %s", self.url, error.message()
            )
            self._shares_memory = False
        else:
            self._shares_memory = True

    def _lose(self, problem: str) -> None:
        # Logged once, not with every probe.
        if problem != self._problem:
            logger.warning("Triton at %s is not ready: %s", self.url, problem)
        self.serving, self._problem, self._late, self._shares_memory = False, problem, 0, False
