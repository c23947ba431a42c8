"""Requests in flight: fewer when the server is busy, more again while it answers."""

from __future__ import annotations

import asyncio

import pytest

from weaksam.client_limit import AdaptiveLimit


async def most_at_once(limit: AdaptiveLimit, tasks: int) -> int:
    inside, most = 0, 0

    async def work() -> None:
        nonlocal inside, most
        async with limit.slot():
            inside += 1
            most = max(most, inside)
            await asyncio.sleep(0.001)
            inside -= 1

    await asyncio.gather(*(work() for _ in range(tasks)))
    return most


async def test_never_more_than_allowed_are_inside() -> None:
    assert await most_at_once(AdaptiveLimit(3), tasks=20) == 3


async def test_a_busy_answer_halves_and_answers_restore_it() -> None:
    limit = AdaptiveLimit(8)
    async with limit.slot() as started_s:
        limit.busy(started_s, 0.0)
    assert limit.allowed == 4
    assert await most_at_once(limit, tasks=20) == 4
    for _ in range(100):
        limit.responded()
    assert limit.allowed == 8


async def test_requests_refused_together_halve_once() -> None:
    limit = AdaptiveLimit(8)
    async with limit.slot() as first_s, limit.slot() as second_s:
        limit.busy(first_s, 0.0)
        limit.busy(second_s, 0.0)
    assert limit.allowed == 4


async def test_it_never_falls_below_one() -> None:
    limit = AdaptiveLimit(2)
    for _ in range(5):
        async with limit.slot() as started_s:
            limit.busy(started_s, 0.0)
        await asyncio.sleep(0.001)
    assert limit.allowed == 1
    assert await most_at_once(limit, tasks=3) == 1


async def test_nothing_starts_during_the_pause() -> None:
    limit = AdaptiveLimit(2)
    async with limit.slot() as started_s:
        limit.busy(started_s, 0.05)
    async with limit.slot() as next_s:
        assert next_s - started_s >= 0.05


def test_a_limit_below_one_is_refused() -> None:
    with pytest.raises(ValueError, match="max_concurrent must be at least 1, got 0"):
        AdaptiveLimit(0)
