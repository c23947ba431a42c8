"""A rate limit that allows bursts."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class RateLimit:
    """Allows `per_s` requests a second in the long run, and `burst` at once after a pause."""

    per_s: float
    burst: int


class TokenBucket:
    """Gains `limit.per_s` tokens a second, up to `limit.burst`; each request takes one.

    Args:
        clock_s: seconds of a steady clock.
    """

    def __init__(self, limit: RateLimit, clock_s: Callable[[], float] = time.monotonic) -> None:
        self.limit = limit
        self._clock_s = clock_s
        self._tokens = float(limit.burst)
        self._filled_s = clock_s()

    def take(self) -> float:
        """Take a token and return 0; if there is none, take nothing and return the seconds until there is one."""
        now_s = self._clock_s()
        self._tokens = min(self.limit.burst, self._tokens + (now_s - self._filled_s) * self.limit.per_s)
        self._filled_s = now_s
        if self._tokens < 1:
            return (1 - self._tokens) / self.limit.per_s
        self._tokens -= 1
        return 0.0
