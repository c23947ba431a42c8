"""Wall time of the stages of one request."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

from service.observability.metrics import Metrics
from service.observability.tracing import stage_span


class Timings:
    """Adds up the time of each stage, and reports each run to metrics and trace."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics
        self._started_s = time.perf_counter()
        self._spent_s: dict[str, float] = {}

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        started_s = time.perf_counter()
        try:
            with stage_span(name):
                yield
        finally:
            spent_s = time.perf_counter() - started_s
            self._spent_s[name] = self._spent_s.get(name, 0.0) + spent_s
            self._metrics.stage(name, spent_s)

    def as_ms(self) -> dict[str, float]:
        """Return milliseconds by stage, in the order of their first run, and `total` since this object was made."""
        total_s = time.perf_counter() - self._started_s
        return {name: round(1000 * spent_s, 3) for name, spent_s in {**self._spent_s, "total": total_s}.items()}
