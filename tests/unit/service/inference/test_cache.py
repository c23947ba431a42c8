from __future__ import annotations

import asyncio
import math
from dataclasses import dataclass

import pytest

from service.deadline import seconds_left
from service.inference.cache import Key, ResultCache
from service.observability.metrics import Metrics
from service.runtime.admission import deadline


@dataclass(frozen=True)
class Blob:
    nbytes: int


class Work:
    """A computation that can be held, counted, and made to fail."""

    def __init__(self, value: Blob | Exception, *, held: bool = False) -> None:
        self.value = value
        self.calls = 0
        self.cancelled = 0
        self.go = asyncio.Event()
        if not held:
            self.go.set()

    async def __call__(self) -> Blob:
        self.calls += 1
        try:
            await self.go.wait()
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        if isinstance(self.value, Exception):
            raise self.value
        return self.value


def key(name: str, label: int = 0) -> Key:
    return Key("features", name, "digest", (label,))


async def settle() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


async def test_a_kept_result_is_not_computed_again() -> None:
    cache, work = ResultCache(100, Metrics()), Work(Blob(10))
    assert await cache.get(key("a"), work) is await cache.get(key("a"), work)
    assert work.calls == 1


async def test_without_room_not_even_what_takes_none_is_kept() -> None:
    cache, work = ResultCache(0, Metrics()), Work(Blob(0))
    await cache.get(key("a"), work)
    await cache.get(key("a"), work)
    assert work.calls == 2


@pytest.mark.parametrize(
    "other",
    [key("b"), key("a", label=1), key("a")._replace(bundle_digest="other"), key("a")._replace(kind="proposals")],
)
async def test_what_a_result_depends_on_is_in_its_key(other: Key) -> None:
    cache, work = ResultCache(100, Metrics()), Work(Blob(10))
    await cache.get(key("a"), work)
    await cache.get(other, work)
    assert work.calls == 2


async def test_the_least_recently_used_goes_when_the_bytes_are_full() -> None:
    metrics = Metrics()
    cache, work = ResultCache(100, metrics), Work(Blob(40))
    for name in ("a", "b", "a", "c"):  # b is the one that was not used again
        await cache.get(key(name), work)
    assert metrics.registry.get_sample_value("weaksam_cache_bytes") == 80
    assert work.calls == 3
    await cache.get(key("a"), work)
    await cache.get(key("c"), work)
    assert work.calls == 3
    await cache.get(key("b"), work)
    assert work.calls == 4


@pytest.mark.parametrize("max_bytes", [0, 9])
async def test_a_result_larger_than_the_bound_is_given_and_not_kept(max_bytes: int) -> None:
    cache, work = ResultCache(max_bytes, Metrics()), Work(Blob(10))
    assert await cache.get(key("a"), work) == Blob(10)
    await cache.get(key("a"), work)
    assert work.calls == 2


async def test_equal_requests_in_flight_share_one_computation() -> None:
    metrics = Metrics()
    cache, work = ResultCache(100, metrics), Work(Blob(10), held=True)
    waiting = [asyncio.create_task(cache.get(key("a"), work)) for _ in range(5)]
    await settle()
    work.go.set()
    assert await asyncio.gather(*waiting) == [Blob(10)] * 5
    assert work.calls == 1
    assert _lookups(metrics) == {"miss": 1, "joined": 4, "hit": 0}


async def test_a_failure_reaches_all_that_wait_and_is_not_kept() -> None:
    cache, work = ResultCache(100, Metrics()), Work(ValueError("broken"), held=True)
    waiting = [asyncio.create_task(cache.get(key("a"), work)) for _ in range(2)]
    await settle()
    work.go.set()
    outcomes = await asyncio.gather(*waiting, return_exceptions=True)
    assert [str(outcome) for outcome in outcomes] == ["broken", "broken"]
    work.value = Blob(10)
    assert await cache.get(key("a"), work) == Blob(10)


async def test_one_that_gives_up_leaves_the_result_to_the_others() -> None:
    cache, work = ResultCache(100, Metrics()), Work(Blob(10), held=True)
    first, second = (asyncio.create_task(cache.get(key("a"), work)) for _ in range(2))
    await settle()
    first.cancel()
    await settle()
    work.go.set()
    assert await second == Blob(10)
    assert (work.calls, work.cancelled) == (1, 0)


async def test_when_all_give_up_the_work_is_cancelled_and_can_start_anew() -> None:
    cache, work = ResultCache(100, Metrics()), Work(Blob(10), held=True)
    waiting = [asyncio.create_task(cache.get(key("a"), work)) for _ in range(2)]
    await settle()
    for task in waiting:
        task.cancel()
    # At once, while the cancelled computation has not wound down.
    again = asyncio.create_task(cache.get(key("a"), work))
    await settle()
    work.go.set()
    assert await again == Blob(10)
    assert work.calls - work.cancelled == 1


async def test_shared_work_has_the_deadline_of_the_last_that_waits() -> None:
    cache, work = ResultCache(100, Metrics()), Work(Blob(10), held=True)
    left_s: list[float] = []

    async def compute() -> Blob:
        found = await work()
        left_s.append(seconds_left())
        return found

    async def get(seconds: float) -> Blob:
        async with deadline(seconds):
            return await cache.get(key("a"), compute)

    waiting = [asyncio.create_task(get(seconds)) for seconds in (100, 300, 200)]
    await settle()
    work.go.set()
    await asyncio.gather(*waiting)
    assert 200 < left_s[0] <= 300
    await cache.get(key("b"), compute)
    assert left_s[1] == math.inf, "nobody who waits has a deadline"


def _lookups(metrics: Metrics) -> dict[str, float]:
    return {
        outcome: metrics.registry.get_sample_value("weaksam_cache_total", {"kind": "features", "outcome": outcome}) or 0
        for outcome in ("hit", "miss", "joined")
    }
