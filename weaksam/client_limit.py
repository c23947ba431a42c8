"""How many requests a client keeps in flight: more while the server responds, half as many when it is busy."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from weaksam.errors import UserError


class AdaptiveLimit:
    """Additive increase, multiplicative decrease, after TCP's congestion control.

    Args:
        maximum: requests in flight that are never exceeded, and the number to begin with.
    """

    def __init__(self, maximum: int) -> None:
        if maximum < 1:
            raise UserError(f"max_concurrent must be at least 1, got {maximum}")
        self._maximum = maximum
        self._allowed = float(maximum)
        self._in_flight = 0
        self._resume_s = 0.0
        self._cut_s = 0.0
        self._changed = asyncio.Condition()

    @property
    def allowed(self) -> int:
        """Requests that may be in flight now."""
        return int(self._allowed)

    @asynccontextmanager
    async def slot(self) -> AsyncIterator[float]:
        """Wait for room and for the end of a pause; yield the time at which the request starts, for `busy`."""
        async with self._changed:
            await self._changed.wait_for(lambda: self._in_flight < self.allowed)
            self._in_flight += 1
        try:
            # Another response may lengthen the pause while this one sleeps, so the clock is read again.
            while (pause_s := self._resume_s - _now_s()) > 0:  # noqa: ASYNC110
                await asyncio.sleep(pause_s)
            yield _now_s()
        finally:
            async with self._changed:
                self._in_flight -= 1
                self._changed.notify_all()

    def busy(self, started_s: float, pause_s: float) -> None:
        """Note that a request that started at `started_s` was refused: nothing is sent for `pause_s` seconds."""
        self._resume_s = max(self._resume_s, _now_s() + pause_s)
        # Requests that were in flight together are refused together: that is one sign of overload, not many.
        if started_s >= self._cut_s:
            self._allowed = max(1.0, self._allowed / 2)
            self._cut_s = _now_s()

    def responded(self) -> None:
        """Note a response: a full round of them makes room for one more request."""
        self._allowed = min(self._maximum, self._allowed + 1 / self._allowed)


def _now_s() -> float:
    return asyncio.get_running_loop().time()
