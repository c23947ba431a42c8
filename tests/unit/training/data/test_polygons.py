"""Masks of files that may be wrong in any way: nothing wrong may reach pycocotools."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from training.data.polygons import MaskError, polygons_rle, run_lengths_rle
from weaksam.formats.run_lengths import decode_rle, encode_rle


@given(hnp.arrays(np.bool_, st.tuples(st.integers(1, 40), st.integers(1, 40))))
def test_run_lengths_of_a_mask_come_back(mask: np.ndarray[Any, np.dtype[np.bool_]]) -> None:
    rle = encode_rle(mask)
    assert run_lengths_rle(rle["counts"], rle["size"]) == rle
    changes = np.flatnonzero(np.diff(mask.T.reshape(-1).astype(int)))
    runs = np.diff([0, *(changes + 1), mask.size]).tolist()
    plain = [0, *runs] if mask.T.reshape(-1)[0] else runs
    assert np.array_equal(decode_rle(run_lengths_rle(plain, rle["size"])), mask)


@given(st.one_of(st.text(max_size=30), st.binary(max_size=30), st.lists(st.integers())), st.lists(st.integers(1, 9)))
def test_anything_else_is_a_sentence_or_a_mask_of_the_size(counts: Any, size: list[int]) -> None:
    try:
        rle = run_lengths_rle(counts, size)
    except MaskError:
        return
    assert list(decode_rle(rle).shape) == size


@pytest.mark.parametrize(
    ("counts", "size", "sentence"),
    [
        pytest.param("91316", [4, 7], "add up to 24, not to 4 x 7 pixels", id="other size"),
        pytest.param([9, 1], [4, 6], "add up to 10, not to 4 x 6", id="too short"),
        pytest.param([-1, 25], [4, 6], "must be whole numbers", id="negative"),
        pytest.param("9131P", [4, 6], "no compressed run lengths", id="open number"),
        pytest.param("ä", [4, 6], "no compressed run lengths", id="letters"),
        pytest.param("91316", [4], "must be height and width", id="no size"),
        pytest.param("91316", None, "must be height and width", id="none"),
        pytest.param(None, [4, 6], "must be whole numbers", id="no counts"),
    ],
)
def test_run_lengths_that_cannot_be(counts: Any, size: Any, sentence: str) -> None:
    with pytest.raises(MaskError, match=sentence):
        run_lengths_rle(counts, size)


@pytest.mark.parametrize(
    ("polygon", "sentence"),
    [
        pytest.param([1, 1, 2, 2], "has 4 numbers", id="two points"),
        pytest.param([1, 1, 2, 2, 3, 3, 4], "has 7 numbers", id="half a point"),
        pytest.param([0, 0, 1e12, 0, 5, 5], "far outside", id="huge"),
        pytest.param([0, 0, float("nan"), 0, 5, 5], "holds nan, which is no number: write", id="nan"),
        pytest.param([0, 0, "one", 0, 5, 5], "holds 'one', which is no number", id="text"),
        pytest.param([[0, 0], [1, 0], [5, 5], 1, 2, 3], r"holds \[0, 0\], which is no number", id="pairs"),
        pytest.param([0, 0, True, 0, 5, 5], "holds True, which is no number", id="bool"),
    ],
)
def test_polygons_that_cannot_be(polygon: list[Any], sentence: str) -> None:
    for parts in ([polygon], [[0, 0, 9, 0, 9, 9], polygon]):
        with pytest.raises(MaskError, match=sentence):
            polygons_rle(parts, (60, 80))
