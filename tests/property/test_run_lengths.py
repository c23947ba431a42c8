"""Run lengths that pycocotools writes pass the check, and no others do harm."""

from __future__ import annotations

import contextlib

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from pycocotools import mask as coco_mask

from weaksam.errors import UserError
from weaksam.formats.run_lengths import check_mask, encode_rle

MASKS = arrays(np.bool_, array_shapes(min_dims=2, max_dims=2, min_side=1, max_side=60))


@given(MASKS)
def test_every_mask_passes(mask_hw: np.ndarray) -> None:
    height, width = mask_hw.shape
    check_mask(encode_rle(mask_hw), (height, width))


@given(st.text("012PQOo`z~é", max_size=8))
def test_what_passes_is_decoded(counts: str) -> None:
    with contextlib.suppress(UserError):
        check_mask({"size": [4, 6], "counts": counts}, (4, 6))
        assert coco_mask.decode({"size": [4, 6], "counts": counts}).shape == (4, 6)
