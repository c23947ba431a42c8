"""A circuit breaker: after failures in a row nothing is called for a while, then one call is tried."""

from __future__ import annotations

import time
from collections.abc import Callable


class Breaker:
    """Counts failures in a row.

    Args:
        max_failures: so many in a row open the breaker; an open breaker allows nothing.
        open_s: how long it stays open; then one call at a time is allowed, until one succeeds.
        clock_s: seconds of a steady clock.
    """

    def __init__(self, max_failures: int, open_s: float, clock_s: Callable[[], float] = time.monotonic) -> None:
        self._max_failures = max_failures
        self._open_s = open_s
        self._clock_s = clock_s
        self._failures = 0
        self._opened_s = 0.0
        self._trying = False

    def allows(self) -> bool:
        """Return whether a call may be made now."""
        if self._failures < self._max_failures:
            return True
        return not self._trying and self._clock_s() >= self._opened_s + self._open_s

    def begin(self) -> None:
        """Note that a call begins; one of the next three must follow."""
        self._trying = self._failures >= self._max_failures

    def succeeded(self) -> None:
        self._failures, self._trying = 0, False

    def failed(self) -> None:
        self._failures, self._trying = self._failures + 1, False
        self._opened_s = self._clock_s()

    def left(self) -> None:
        """Note that the call says nothing about the endpoint."""
        self._trying = False
