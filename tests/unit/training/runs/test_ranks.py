from __future__ import annotations

import pytest

from training.runs.ranks import _told, share_of_batch, track_first


def test_a_batch_is_shared_evenly_or_not_at_all(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("training.runs.ranks.rank_count", lambda: 3)
    assert share_of_batch(6, "batch") == 2
    with pytest.raises(ValueError, match="batch is 8: take a multiple of the 3 ranks"):
        share_of_batch(8, "batch")


def test_a_log_gets_lines_while_a_stage_runs(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    now_s = iter((0.0, 30.0, 61.0, 100.0, 130.0))
    monkeypatch.setattr("training.runs.ranks.time.monotonic", lambda: next(now_s))
    assert list(_told(range(4), "steps", 4)) == [0, 1, 2, 3]
    assert capsys.readouterr().err.splitlines() == ["steps: 1 of 4, 1.0 a minute", "steps: 3 of 4, 1.4 a minute"]


@pytest.mark.parametrize("items", [range(3), iter((0, 1, 2))], ids=["sized", "unsized"])
def test_every_item_comes_through(items: range, capsys: pytest.CaptureFixture[str]) -> None:
    assert list(track_first(items, "steps")) == [0, 1, 2]
    assert "steps" in capsys.readouterr().err
