"""What `weaksam convert` writes, read back by the labelling tools' own code; and what they write, read by ours."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import cv2
import numpy as np
import pytest

from tests.support.labelling_tools.environment import run_in_tools
from tests.support.labelling_tools.random_masks import SIZE_HW, label_of, random_masks, store_run
from weaksam.arrays import Mask
from weaksam.formats.convert import FormatName, convert
from weaksam.formats.label_studio_regions import brush_mask

COUNT = 60
LOSSLESS = ("labelstudio", "cvat", "roboflow", "voc")
FILLED = ("labelme", "x-anylabeling")
FORMATS: tuple[FormatName, ...] = ("labelstudio", "cvat", "labelme", "roboflow", "voc")


@pytest.fixture(scope="module")
def masks() -> list[Mask]:
    """Random masks."""
    return random_masks(COUNT)


@pytest.fixture(scope="module")
def read(masks: list[Mask], tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, tuple[list[str], Mask]]:
    """Labels and masks [N,H,W] that each tool reads."""
    folder = tmp_path_factory.mktemp("run")
    store_run(masks, folder)
    for to in FORMATS:
        convert(folder, to, folder / to, 1.0)
    work = {
        "folders": {to: str(folder / to) for to in FORMATS},
        "out": str(folder),
        "count": COUNT,
        "size_hw": SIZE_HW,
    }
    labels = run_in_tools("tool_readers.py", work, tmp_path_factory.mktemp("home"))
    return {name: (labels[name], np.load(folder / f"{name}.npz")["masks"]) for name in labels}


@pytest.mark.parametrize("tool", LOSSLESS)
def test_no_pixel_is_lost(masks: list[Mask], read: Mapping[str, tuple[list[str], Mask]], tool: str) -> None:
    labels, found = read[tool]
    assert labels == [label_of(number) for number in range(1, COUNT + 1)]
    assert np.array_equal(found, np.array(masks))


@pytest.mark.parametrize("tool", FILLED)
def test_polygons_are_filled_with_their_outline(
    masks: list[Mask], read: Mapping[str, tuple[list[str], Mask]], tool: str
) -> None:
    """LabelMe's fill covers the outline's pixels too, so a mask grows by a pixel to the right and below."""
    labels, found = read[tool]
    assert labels == [label_of(number) for number in range(1, COUNT + 1)]
    for found_hw, mask_hw in zip(found, masks, strict=True):
        grown_hw = cv2.dilate(mask_hw.astype(np.uint8), np.ones((3, 3), np.uint8)).astype(np.bool_)
        assert not (mask_hw & ~found_hw).any()
        assert not (found_hw & ~grown_hw).any()


def test_brush_strokes_of_label_studio_are_read(masks: list[Mask], tmp_path: Path) -> None:
    np.save(tmp_path / "masks.npy", np.array(masks))
    written = run_in_tools("brush_writer.py", {"masks": str(tmp_path / "masks.npy")}, tmp_path)
    for data, mask_hw in zip(written, masks, strict=True):
        assert np.array_equal(brush_mask(data, SIZE_HW), mask_hw)
