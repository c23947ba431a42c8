from __future__ import annotations

import pytest

from service.auth.token_bucket import RateLimit, TokenBucket


class Clock:
    def __init__(self) -> None:
        self.now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


def test_a_burst_then_the_rate() -> None:
    clock = Clock()
    bucket = TokenBucket(RateLimit(per_s=2.0, burst=3), clock)
    assert [bucket.take() for _ in range(3)] == [0.0] * 3
    assert bucket.take() == pytest.approx(0.5)
    clock.now_s += 0.5
    assert bucket.take() == 0.0
    assert bucket.take() == pytest.approx(0.5)


def test_what_was_refused_takes_nothing_and_a_long_pause_gives_no_more_than_a_burst() -> None:
    clock = Clock()
    bucket = TokenBucket(RateLimit(per_s=1.0, burst=2), clock)
    assert [bucket.take() > 0 for _ in range(50)] == [False, False] + [True] * 48
    clock.now_s += 3600
    assert [bucket.take() > 0 for _ in range(3)] == [False, False, True]


def test_in_the_long_run_the_rate_is_kept() -> None:
    clock = Clock()
    bucket = TokenBucket(RateLimit(per_s=5.0, burst=10), clock)
    admitted = 0
    for _ in range(1000):
        admitted += bucket.take() == 0.0
        clock.now_s += 0.01
    assert 59 <= admitted <= 60
