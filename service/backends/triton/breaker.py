"""Circuit breaker: what fails again and again is left alone for a while, then tried with one call."""

from __future__ import annotations

import time
from collections.abc import Callable


class Breaker:
    """Counts failures in a row.

    Args:
        failures: in a row that open it; an open breaker allows nothing.
        open_s: how long it stays open; then one call at a time is allowed, until one succeeds.
        clock_s: seconds of a steady clock.
    """

    def __init__(self, failures: int, open_s: float, clock_s: Callable[[], float] = time.monotonic) -> None:
        self._most = failures
        self._open_s = open_s
        self._clock_s = clock_s
        self._failures = 0
        self._opened_s = 0.0
        self._trying = False

    def allows(self) -> bool:
        """Whether a call may be made now."""
        if self._failures < self._most:
            return True
        return not self._trying and self._clock_s() >= self._opened_s + self._open_s

    def begin(self) -> None:
        """A call that `allows` allowed is made; one of the next three must follow."""
        self._trying = self._failures >= self._most

    def succeeded(self) -> None:
        self._failures, self._trying = 0, False

    def failed(self) -> None:
        self._failures, self._trying = self._failures + 1, False
        self._opened_s = self._clock_s()

    def left(self) -> None:
        """The call was given up by its caller and says nothing."""
        self._trying = False
