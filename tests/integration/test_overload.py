"""A minute at twice the capacity, as `make bench BENCH_ARGS="--only overload"` does for ten."""

from __future__ import annotations

from pathlib import Path

from tests.bench.overload import measure_overload


def test_a_minute_at_twice_the_capacity(default_bundle_dir: Path) -> None:
    found = measure_overload(default_bundle_dir, threads=1, minutes=1.0, capacity_s=15.0)
    statuses = found["statuses"]
    # Answered or refused, and nothing else: no 500, no 504, no lost connection.
    assert set(statuses) == {"200", "503"}, found
    assert statuses["503"] >= sum(statuses.values()) / 10, found
    assert found["refused_without_retry_after"] == 0
    assert found["memory_growth"] < 0.05, found
