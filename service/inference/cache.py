"""A cache of intermediate results, bounded in bytes; equal requests in flight share one computation."""

from __future__ import annotations

import asyncio
import math
from collections import OrderedDict
from collections.abc import Callable, Coroutine
from contextvars import copy_context
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol, TypeVar, cast

from service.deadline import DEADLINE, Deadline
from service.observability.metrics import Metrics


class Sized(Protocol):
    """A value that knows how much memory it takes."""

    @property
    def nbytes(self) -> int: ...


Value = TypeVar("Value", bound=Sized)


class Key(NamedTuple):
    """What a result depends on.

    Attributes:
        kind: which result.
        image_sha256: of the pixels, so that equal images agree whatever file they came in.
        bundle_digest: of the models and their settings.
        classes: the requested classes, if the result depends on them.
        detail: what else it depends on, as a text.
    """

    kind: str
    image_sha256: str
    bundle_digest: str
    classes: tuple[int, ...] | None = None
    detail: str = ""


@dataclass
class _Flight:
    task: asyncio.Task[Any]
    deadline: Deadline
    waiting: int = 0


class ResultCache:
    """Keeps results and drops the least recently used first.

    Args:
        max_bytes: bound on the sum of `nbytes` of what is kept; a larger value is not kept at all.
    """

    def __init__(self, max_bytes: int, metrics: Metrics) -> None:
        self._max_bytes = max_bytes
        self._metrics = metrics
        self._kept: OrderedDict[Key, Sized] = OrderedDict()
        self._flights: dict[Key, _Flight] = {}
        self._bytes = 0

    async def get(self, key: Key, compute: Callable[[], Coroutine[None, None, Value]]) -> Value:
        """Return the result for `key`: a kept one, or that of the computation in flight, or a new one."""
        if key in self._kept:
            self._kept.move_to_end(key)
            self._metrics.cache(key.kind, "hit")
            return cast(Value, self._kept[key])
        flight = self._flights.get(key)
        self._metrics.cache(key.kind, "joined" if flight else "miss")
        if flight is None:
            flight = self._flights[key] = self._start(key, compute)
        return cast(Value, await self._join(key, flight))

    def peek(self, key: Key) -> Sized | None:
        """Return the kept result for `key`, or None."""
        if key in self._kept:
            self._kept.move_to_end(key)
        return self._kept.get(key)

    def forget_bundle(self, bundle_digest: str) -> None:
        """Drop the results of one bundle."""
        for key in [key for key in self._kept if key.bundle_digest == bundle_digest]:
            self._bytes -= self._kept.pop(key).nbytes
        self._metrics.cache_bytes(self._bytes)

    def _start(self, key: Key, compute: Callable[[], Coroutine[None, None, Sized]]) -> _Flight:
        # A deadline of its own: `_join` moves it to that of the last request that waits.
        deadline = Deadline(-math.inf)
        context = copy_context()
        context.run(DEADLINE.set, deadline)
        return _Flight(asyncio.create_task(self._run(key, compute), context=context), deadline)

    async def _join(self, key: Key, flight: _Flight) -> Sized:
        flight.waiting += 1
        own = DEADLINE.get()
        flight.deadline.at_s = max(flight.deadline.at_s, math.inf if own is None else own.at_s)
        try:
            # Shielded: a request that gives up must not take the result from the others that wait.
            return cast(Sized, await asyncio.shield(flight.task))
        finally:
            flight.waiting -= 1
            if not flight.waiting and not flight.task.done():
                flight.task.cancel()
                self._forget(key, flight)

    async def _run(self, key: Key, compute: Callable[[], Coroutine[None, None, Sized]]) -> Sized:
        flight = self._flights[key]
        try:
            value = await compute()
            self._keep(key, value)
            return value
        finally:
            self._forget(key, flight)

    def _forget(self, key: Key, flight: _Flight) -> None:
        # While a cancelled flight ended, another request may have started a new one under this key.
        if self._flights.get(key) is flight:
            del self._flights[key]

    def _keep(self, key: Key, value: Sized) -> None:
        if not self._max_bytes or value.nbytes > self._max_bytes:
            return
        self._kept[key] = value
        self._bytes += value.nbytes
        while self._bytes > self._max_bytes:
            _, dropped = self._kept.popitem(last=False)
            self._bytes -= dropped.nbytes
        self._metrics.cache_bytes(self._bytes)
