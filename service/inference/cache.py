"""Intermediate results of pictures: kept within a bound in bytes, and never worked out twice at the same time."""

from __future__ import annotations

import asyncio
import math
from collections import OrderedDict
from collections.abc import Callable, Coroutine, Hashable
from contextvars import copy_context
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol, TypeVar, cast

from service.deadline import DEADLINE, Deadline
from service.observability.metrics import Metrics


class Sized(Protocol):
    """A value that knows the memory it takes."""

    @property
    def nbytes(self) -> int: ...


Value = TypeVar("Value", bound=Sized)


class Key(NamedTuple):
    """What a result depends on.

    Attributes:
        kind: which result.
        image_sha256: of the pixels, so that equal pictures agree whatever file they came in.
        bundle_digest: of the models and their settings.
        of: whatever else it depends on.
    """

    kind: str
    image_sha256: str
    bundle_digest: str
    of: Hashable = None


@dataclass
class _Flight:
    task: asyncio.Task[Any]
    deadline: Deadline
    waiting: int = 0


class ResultCache:
    """Least recently used results go first; equal requests in flight share one computation.

    Args:
        max_bytes: bound on the sum of `nbytes` of what is kept; a larger single value is not kept at all.
    """

    def __init__(self, max_bytes: int, metrics: Metrics) -> None:
        self._max_bytes = max_bytes
        self._metrics = metrics
        self._kept: OrderedDict[Key, Sized] = OrderedDict()
        self._flights: dict[Key, _Flight] = {}
        self._bytes = 0

    async def get(self, key: Key, compute: Callable[[], Coroutine[None, None, Value]]) -> Value:
        """The result for `key`: kept, or from the computation in flight, or from a new one."""
        if key in self._kept:
            self._kept.move_to_end(key)
            self._metrics.cache(key.kind, "hit")
            return cast(Value, self._kept[key])
        flight = self._flights.get(key)
        self._metrics.cache(key.kind, "joined" if flight else "miss")
        if flight is None:
            flight = self._flights[key] = self._take_off(key, compute)
        return cast(Value, await self._join(key, flight))

    def _take_off(self, key: Key, compute: Callable[[], Coroutine[None, None, Sized]]) -> _Flight:
        # A deadline of its own, which `_join` moves with the requests that wait for it.
        deadline = Deadline(-math.inf)
        context = copy_context()
        context.run(DEADLINE.set, deadline)
        return _Flight(asyncio.create_task(self._run(key, compute), context=context), deadline)

    def forget_bundle(self, bundle_digest: str) -> None:
        """Drop what is kept of one bundle."""
        for key in [key for key in self._kept if key.bundle_digest == bundle_digest]:
            self._bytes -= self._kept.pop(key).nbytes
        self._metrics.cache_bytes(self._bytes)

    async def _join(self, key: Key, flight: _Flight) -> Sized:
        flight.waiting += 1
        own = DEADLINE.get()
        flight.deadline.at_s = max(flight.deadline.at_s, math.inf if own is None else own.at_s)
        try:
            # Shielded: one of several waiting requests may give up without taking the result from the others.
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
        # A request that comes while a cancelled flight winds down has started another under the same key.
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
