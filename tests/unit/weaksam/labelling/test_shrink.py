from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from PIL import Image
from pycocotools import mask as coco_mask

from models.image import decode_image
from tests.support.fakes.answers import detect_result
from tests.support.faults.pictures import deep_tiff, sloppy_exif
from weaksam.formats.run_lengths import decode_rle, encode_rle
from weaksam.labelling.shrink import restore, shrink
from weaksam.mask_schemas import RleMask
from weaksam.schemas import DetectResult, ImageInfo

ORIENTATION = 0x0112


def save(path: Path, mode: str, size_wh: tuple[int, int], orientation: int = 1, **options: Any) -> Path:
    """An image whose left half is bright and whose right half is dark."""
    image = Image.new("L", size_wh, 30)
    image.paste(220, (0, 0, size_wh[0] // 2, size_wh[1]))
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    image.convert(mode).save(path, exif=exif, **options)
    return path


@pytest.mark.parametrize(
    ("name", "mode"), [("a.jpg", "RGB"), ("a.jpg", "L"), ("a.jpg", "CMYK"), ("a.png", "RGB"), ("a.png", "RGBA")]
)
def test_the_longer_side_is_what_was_asked_for(tmp_path: Path, name: str, mode: str) -> None:
    found = shrink(save(tmp_path / name, mode, (640, 400)), 160)
    assert found is not None
    assert found.size_hw == (400, 640)
    image = decode_image(found.data)
    assert image.size_hw == (100, 160)
    assert image.image_hwc_u8[:, :70].min() > 180
    assert image.image_hwc_u8[:, 90:].max() < 70


@pytest.mark.parametrize("mode", ["L", "RGB"])
def test_a_transparent_colour_stays_transparent(tmp_path: Path, mode: str) -> None:
    dark = 30 if mode == "L" else (30, 30, 30)
    path = save(tmp_path / "a.png", mode, (640, 400), transparency=dark)
    found, whole = shrink(path, 160), decode_image(path.read_bytes())
    assert found is not None
    assert whole.image_hwc_u8[:, 360:].min() == 255
    assert decode_image(found.data).image_hwc_u8[:, 90:].min() == 255


@pytest.mark.parametrize("name", ["a.jpg", "a.tif"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_what_is_sent_is_upright(tmp_path: Path, name: str, orientation: int) -> None:
    path = save(tmp_path / name, "RGB", (600, 300), orientation, quality=95)
    found, whole = shrink(path, 100), decode_image(path.read_bytes())
    assert found is not None
    assert found.size_hw == whole.size_hw
    sent = decode_image(found.data)
    assert sent.size_hw == tuple(side // 6 for side in whole.size_hw)
    assert np.abs(sent.image_hwc_u8.astype(int) - whole.image_hwc_u8[3::6, 3::6]).mean() < 4


@pytest.mark.parametrize(
    ("name", "mode", "size_wh"),
    [("small.jpg", "RGB", (160, 90)), ("palette.png", "P", (640, 400)), ("16-bit.png", "I;16", (640, 400))],
)
def test_what_would_lose_or_is_small_is_sent_as_it_is(
    tmp_path: Path, name: str, mode: str, size_wh: tuple[int, int]
) -> None:
    assert shrink(save(tmp_path / name, mode, size_wh), 160) is None


def test_an_exif_block_that_cannot_be_written_again_still_turns_the_image(tmp_path: Path) -> None:
    Image.new("RGB", (600, 300)).save(tmp_path / "a.jpg", exif=sloppy_exif(6))
    found = shrink(tmp_path / "a.jpg", 100)
    assert found is not None
    assert (found.size_hw, decode_image(found.data).size_hw) == ((600, 300), (100, 50))


def test_colours_of_16_bits_are_sent_as_they_are(tmp_path: Path) -> None:
    colours = np.full((300, 400, 3), 4000, np.uint16)
    (tmp_path / "a.png").write_bytes(cv2.imencode(".png", colours)[1].tobytes())
    (tmp_path / "a.tif").write_bytes(deep_tiff(colours, 1))
    assert shrink(tmp_path / "a.png", 100) is None
    assert shrink(tmp_path / "a.tif", 100) is None


def test_what_is_no_image_is_left_to_the_service(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_bytes(b"no image")
    save(tmp_path / "b.jpg", "RGB", (640, 400))
    (tmp_path / "b.jpg").write_bytes((tmp_path / "b.jpg").read_bytes()[:400])
    assert shrink(tmp_path / "a.jpg", 100) is None
    assert shrink(tmp_path / "b.jpg", 100) is None
    with pytest.raises(FileNotFoundError):
        shrink(tmp_path / "absent.jpg", 100)


def test_boxes_and_masks_come_back_in_pixels_of_the_image_as_it_was() -> None:
    mask_hw = np.zeros((30, 40), np.bool_)
    mask_hw[5:9, 10:20] = True
    result = detect_result(b"x", ["Bolt"])
    row = result.detections[0].model_copy(update={"mask": RleMask(**encode_rle(mask_hw))})
    result = result.model_copy(update={"detections": (row,)})
    restored = restore(result, (90, 160))

    assert restored.image == ImageInfo(width=160, height=90, sha256=result.image.sha256)
    (found,) = restored.detections
    assert found.box_xyxy == (40.0, 15.0, 80.0, 27.0)
    assert isinstance(found.mask, RleMask)
    assert found.mask.size == (90, 160)
    whole_hw = decode_rle(found.mask.rle())
    assert np.flatnonzero(whole_hw.any(axis=1)).tolist() == list(range(15, 27))
    assert np.flatnonzero(whole_hw.any(axis=0)).tolist() == list(range(40, 80))
    assert coco_mask.area(found.mask.model_dump(mode="json")) == 12 * 40
    assert (restored.tags, restored.bundle) == (result.tags, result.bundle)


def test_a_size_that_does_not_divide_keeps_every_pixel_in_the_image() -> None:
    result = restore(detect_result(b"x", ["Bolt"]), (31, 47))
    (found,) = result.detections
    assert isinstance(found.mask, RleMask)
    assert decode_rle(found.mask.rle()).shape == (31, 47)
    assert DetectResult.model_validate_json(result.model_dump_json()) == result
