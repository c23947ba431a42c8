"""Polygons of random masks, with holes, parts, one-pixel things and corners that touch."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from pycocotools import mask as coco_mask

from weaksam.arrays import Mask
from weaksam.formats.polygons import mask_to_polygons, polygons_to_mask

NOISE = st.tuples(st.integers(1, 12), st.integers(1, 12)).flatmap(lambda size_hw: arrays(np.bool_, size_hw))


@st.composite
def blobs(draw: st.DrawFn) -> Mask:
    """A few ellipses, some of them cut out, on up to 60x60 pixels."""
    height, width = draw(st.integers(1, 60)), draw(st.integers(1, 60))
    y, x = np.mgrid[:height, :width]
    mask_hw = np.zeros((height, width), np.bool_)
    for _ in range(draw(st.integers(1, 5))):
        centre_y, centre_x = draw(st.integers(0, height - 1)), draw(st.integers(0, width - 1))
        radius_y, radius_x = draw(st.integers(0, 25)), draw(st.integers(0, 25))
        inside = ((y - centre_y) / (radius_y + 0.5)) ** 2 + ((x - centre_x) / (radius_x + 0.5)) ** 2 <= 1
        mask_hw = mask_hw & ~inside if draw(st.booleans()) and mask_hw.any() else mask_hw | inside
    return mask_hw


MASKS = st.one_of(NOISE, blobs())


@given(MASKS)
def test_no_pixel_is_lost(mask_hw: Mask) -> None:
    polygons = mask_to_polygons(mask_hw)
    assert polygons.fidelity_iou == 1.0
    assert np.array_equal(polygons_to_mask(polygons.rings_xy, mask_hw.shape), mask_hw)


@given(MASKS, st.floats(0.3, 1.0))
def test_fidelity_is_kept_and_told(mask_hw: Mask, min_fidelity: float) -> None:
    polygons = mask_to_polygons(mask_hw, min_fidelity)
    again_hw = polygons_to_mask(polygons.rings_xy, mask_hw.shape)
    union = np.count_nonzero(mask_hw | again_hw)
    assert polygons.fidelity_iou >= min_fidelity
    assert polygons.fidelity_iou == pytest.approx(np.count_nonzero(mask_hw & again_hw) / union if union else 1.0)
    exact = mask_to_polygons(mask_hw)
    assert len(polygons.rings_xy) == len(exact.rings_xy)  # no part is dropped
    assert sum(map(len, polygons.rings_xy)) <= sum(map(len, exact.rings_xy))


@given(MASKS)
def test_pycocotools_reads_them_alike(mask_hw: Mask) -> None:
    rings = [ring.ravel().astype(float).tolist() for ring in mask_to_polygons(mask_hw).rings_xy]
    height, width = mask_hw.shape
    read = coco_mask.decode(coco_mask.frPyObjects(rings, height, width)) if rings else np.zeros((height, width, 1))
    assert np.array_equal(read.any(axis=2), mask_hw)
