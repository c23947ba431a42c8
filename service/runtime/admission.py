"""Admission: how many requests run, how many may wait and for how long, and what happens if a client leaves."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import TypeVar

from starlette.types import Receive

from service.deadline import DEADLINE, Deadline
from service.errors import Busy, ClientGone, DeadlineExceeded
from service.observability.metrics import Metrics
from service.observability.timings import Timings

Result = TypeVar("Result")

# Weight of the latest request in the running mean of service times, which Retry-After follows.
MEAN_WEIGHT = 0.2


class Admission:
    """A bounded queue in front of a fixed number of workers.

    Args:
        workers: number of requests that run at the same time.
        queue_size: number of requests that may wait; the next one is refused at once.
        clock_s: seconds of a steady clock.
    """

    def __init__(
        self, workers: int, queue_size: int, metrics: Metrics, clock_s: Callable[[], float] = time.monotonic
    ) -> None:
        self._workers = workers
        self._queue_size = queue_size
        self._metrics = metrics
        self._free = asyncio.Semaphore(workers)
        self._waiting = 0
        self._running = 0
        self._clock_s = clock_s
        self._mean_s: float | None = None

    @asynccontextmanager
    async def worker(self, timings: Timings) -> AsyncIterator[None]:
        """Wait for a worker and hold it; `timings` records the wait as stage `queue`.

        Raises:
            Busy: at once, if the queue is full.
        """
        if self._free.locked() and self._waiting >= self._queue_size:
            raise self._busy()
        with timings.stage("queue"):
            await self._wait()
        self._count(running=1)
        started_s = self._clock_s()
        try:
            yield
            # Only here: requests that fail end early, or late at their deadline.
            self._learn(self._clock_s() - started_s)
        finally:
            self._count(running=-1)
            self._free.release()

    async def _wait(self) -> None:
        self._count(waiting=1)
        try:
            await self._free.acquire()
        finally:
            self._count(waiting=-1)

    def _learn(self, spent_s: float) -> None:
        before_s = spent_s if self._mean_s is None else self._mean_s
        self._mean_s = before_s + MEAN_WEIGHT * (spent_s - before_s)

    def _count(self, *, waiting: int = 0, running: int = 0) -> None:
        self._waiting += waiting
        self._running += running
        self._metrics.queue(self._waiting, self._running)

    def _busy(self) -> Busy:
        retry_after_s = max(1, math.ceil((self._mean_s or 0.0) * (self._waiting + 1) / self._workers))
        return Busy(
            f"{self._running} requests are running and {self._waiting} are waiting, which is the limit: "
            f"send this one again in {retry_after_s} s",
            retry_after_s=retry_after_s,
        )


@asynccontextmanager
async def deadline(seconds: float) -> AsyncIterator[None]:
    """Cancel the block after so many seconds and raise DeadlineExceeded; `seconds_left` counts down inside it."""
    try:
        async with asyncio.timeout(seconds) as limit:
            token = DEADLINE.set(Deadline(asyncio.get_running_loop().time() + seconds))
            try:
                yield
            finally:
                DEADLINE.reset(token)
    except TimeoutError as error:
        if not limit.expired():
            raise
        raise DeadlineExceeded(
            f"no result within the deadline of {seconds:g} s: send a smaller image, or send it later"
        ) from error


async def while_connected(receive: Receive, work: Coroutine[None, None, Result]) -> Result:
    """Return the result of `work`; cancel it if the client leaves. The request's body must have been read.

    Raises:
        ClientGone: the client closed the connection first.
    """
    task = asyncio.create_task(work)
    gone = asyncio.create_task(_disconnect(receive))
    try:
        await asyncio.wait({task, gone}, return_when=asyncio.FIRST_COMPLETED)
        if not task.done():
            raise ClientGone("the client closed the connection before the response was ready")
        return task.result()
    finally:
        for pending in (task, gone):
            pending.cancel()
        await asyncio.gather(task, gone, return_exceptions=True)


async def _disconnect(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
