"""A minute at twice the capacity, as `make bench BENCH_ARGS="--only overload"` does for ten."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.bench.serving.overload import measure_overload, steady_growth


def test_a_minute_at_twice_the_capacity(default_bundle_dir: Path) -> None:
    found = measure_overload(default_bundle_dir, threads=1, minutes=1.0, capacity_s=15.0)
    statuses = found["statuses"]
    # Answered or refused, and nothing else: no 500, no 504, no lost connection.
    assert set(statuses) == {"200", "503"}, found
    assert statuses["503"] >= sum(statuses.values()) / 10, found
    assert found["refused_without_retry_after"] == 0
    assert found["memory_growth"] < 0.02, found
    # Both workers in the largest network at once, and not more.
    assert max(found["memory_mb"]) < 1.2 * found["memory_mb"][0], found


def test_memory_that_leaks_differs_from_memory_that_a_first_meeting_took() -> None:
    leak = [1000 + second for second in range(60)]
    steps = [1000] * 9 + [1015] * 13 + [1030] * 12 + [1045] * 14 + [1060] * 12
    assert steady_growth(leak) == pytest.approx(0.057, abs=0.001)
    assert steady_growth([leak_ + step - 1000 for leak_, step in zip(leak, steps, strict=True)]) > 0.05
    assert steady_growth(steps) == 0
