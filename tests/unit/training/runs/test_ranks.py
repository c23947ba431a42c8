from __future__ import annotations

import pytest

from training.runs.ranks import share_of_batch


def test_a_batch_is_shared_evenly_or_not_at_all(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("training.runs.ranks.rank_count", lambda: 3)
    assert share_of_batch(6, "batch") == 2
    with pytest.raises(ValueError, match="batch is 8: take a multiple of the 3 ranks"):
        share_of_batch(8, "batch")
