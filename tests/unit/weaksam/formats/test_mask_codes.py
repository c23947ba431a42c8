from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from weaksam.formats.png import encode_mask_png
from weaksam.formats.run_lengths import decode_rle, encode_rle


def example() -> np.ndarray:
    mask = np.zeros((4, 6), bool)
    mask[1, 2] = mask[1, 3] = mask[2, 3] = True
    return mask


def test_run_lengths_are_those_of_the_coco_tools() -> None:
    assert encode_rle(example()) == {"size": [4, 6], "counts": "91316"}


def test_run_lengths_decode_to_a_c_ordered_mask() -> None:
    decoded = decode_rle({"size": [4, 6], "counts": "91316"})
    assert decoded.flags.c_contiguous
    assert np.array_equal(decoded, example())


@pytest.mark.parametrize("size_hw", [(1, 1), (1, 7), (7, 1), (130, 67)])
def test_run_lengths_come_back_whatever_the_size(size_hw: tuple[int, int]) -> None:
    mask_hw = np.random.default_rng(0).random(size_hw) < 0.5
    decoded = decode_rle(encode_rle(mask_hw))
    assert decoded.dtype == np.bool_
    assert decoded.flags.c_contiguous
    assert np.array_equal(decoded, mask_hw)


def test_png_holds_the_mask() -> None:
    decoded = np.asarray(Image.open(io.BytesIO(encode_mask_png(example()))))
    assert np.array_equal(decoded, example() * np.uint8(255))
