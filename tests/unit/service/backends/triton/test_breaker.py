"""When the circuit breaker lets a call through."""

from __future__ import annotations

from service.backends.triton.breaker import Breaker


class Clock:
    def __init__(self) -> None:
        self.now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


def fail(breaker: Breaker, times: int) -> None:
    for _ in range(times):
        breaker.begin()
        breaker.failed()


def test_failures_in_a_row_open_it() -> None:
    breaker = Breaker(3, 5, Clock())
    fail(breaker, 2)
    breaker.begin()
    breaker.succeeded()
    fail(breaker, 2)
    assert breaker.allows()
    fail(breaker, 1)
    assert not breaker.allows()


def test_after_a_while_one_call_at_a_time_is_tried() -> None:
    clock = Clock()
    breaker = Breaker(1, 5, clock)
    fail(breaker, 1)
    clock.now_s += 4.9
    assert not breaker.allows()
    clock.now_s += 0.2
    assert breaker.allows()
    breaker.begin()
    assert not breaker.allows()
    breaker.failed()
    clock.now_s += 4.9
    assert not breaker.allows()
    clock.now_s += 0.2
    breaker.begin()
    breaker.succeeded()
    assert breaker.allows()


def test_a_call_that_was_given_up_makes_room_for_another_try() -> None:
    clock = Clock()
    breaker = Breaker(1, 5, clock)
    fail(breaker, 1)
    clock.now_s += 6
    breaker.begin()
    breaker.left()
    assert breaker.allows()
