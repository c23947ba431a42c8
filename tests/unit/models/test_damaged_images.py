"""Files as cameras, downloads and other programs leave them: what is whole is read, what is not is an `ImageError`."""

from __future__ import annotations

import re

import cv2
import numpy as np
import pytest
from PIL import Image, features

from models.image import ImageError, decode_image
from tests.support.faults.pictures import camera_raw, saved

RNG = np.random.default_rng(0)
BLOCKS = np.kron(RNG.integers(0, 255, (60, 45, 3)), np.ones((8, 8, 1))).astype(np.uint8)
SCENE = Image.fromarray(BLOCKS)


def with_preview() -> bytes:
    """A JPEG with a second image behind it, as cameras write one."""
    return saved(SCENE, "MPO", save_all=True, append_images=[SCENE.resize((64, 48))], quality=90)


def refusal_of(data: bytes) -> ImageError:
    with pytest.raises(ImageError) as caught:
        decode_image(data)
    return caught.value


@pytest.mark.skipif(not features.check("avif"), reason="this Pillow reads no AVIF")
def test_an_avif_whose_end_is_zeros_is_broken_or_read() -> None:
    rows, columns = np.mgrid[:480, :640]
    data = saved(Image.fromarray(np.stack([columns // 3, rows // 2, rows // 4], axis=2).astype(np.uint8)), "AVIF")
    refused = 0
    for kept in range(len(data) // 2, len(data) - 8, 8):
        try:
            decode_image(data[:kept] + bytes(len(data) - kept))
        except ImageError as error:
            refused += error.code == "image_broken"
    assert refused > 5, "or none was damaged enough to show"


def test_a_progressive_jpeg_may_be_cut_anywhere() -> None:
    data = saved(SCENE, "JPEG", progressive=True, quality=90)
    scans = [found.start() for found in re.finditer(b"\xff\xda", data)]
    assert len(scans) > 5
    for start in (data.index(b"\xff\xc2"), *scans[:-1]):
        for kept in range(start, start + 12):
            assert refusal_of(data[:kept]).code == "image_broken"


def test_a_jpeg_with_a_preview_is_reduced_as_any_other() -> None:
    plain, camera = saved(SCENE, "JPEG", quality=90), with_preview()
    limits = {"max_pixels": 60_000, "max_declared_pixels": 1_000_000}
    reduced = decode_image(camera, **limits)
    assert reduced.full_hw == (480, 360)
    assert np.array_equal(reduced.image_hwc_u8, decode_image(plain, **limits).image_hwc_u8)


def test_a_jpeg_with_a_preview_that_lacks_its_last_rows_is_read() -> None:
    camera = with_preview()
    end = camera.index(b"\xff\xd9")  # of the first image
    cut = decode_image(camera[: end - 40])
    assert cut.size_hw == (480, 360)
    assert re.search(r"the last \d+ of 480 rows are guessed", cut.warnings[0])


def test_a_whole_tiff_of_a_kind_that_is_not_read_says_what_to_save() -> None:
    data = cv2.imencode(".tif", BLOCKS.astype(np.float32))[1].tobytes()
    refusal = refusal_of(data)
    assert refusal.code == "image_broken"
    assert "save it with 8 or 16 bits a channel" in str(refusal)


CAMERA_RAW = {"a preview first": {254: 1}, "DNG": {254: 0, 50706: b"\1\4\0\0"}}


@pytest.mark.parametrize("tags", CAMERA_RAW.values(), ids=list(CAMERA_RAW))
def test_the_preview_in_a_raw_file_is_not_taken_for_the_photograph(tags: dict[int, object]) -> None:
    with pytest.raises(ImageError, match="are camera raw, of which only a preview .*: send JPEG") as caught:
        decode_image(camera_raw(tags))
    assert caught.value.code == "not_an_image"
