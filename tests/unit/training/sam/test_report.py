"""The baselines, and how a report sums up its objects."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from training.data.tagged import TaggedImage, TrueObject
from training.sam.baselines import filled_box, grabcut_mask
from training.sam.report import BASELINES, MEASURES, ObjectRow, report_sam, summarise
from weaksam.errors import UserError
from weaksam.formats.polygons import mask_iou


def test_a_filled_box_holds_the_pixels_whose_centres_it_holds() -> None:
    mask = filled_box((6, 8), np.array([1.4, 2, 4.6, 5.5], np.float32))
    assert np.argwhere(mask).min(0).tolist() == [2, 1]
    assert np.argwhere(mask).max(0).tolist() == [4, 4]


def test_grabcut_finds_a_disc_of_another_colour_and_never_leaves_the_box() -> None:
    rng = np.random.default_rng(0)
    image = rng.integers(20, 60, (200, 300, 3)).astype(np.uint8)
    true = np.zeros((200, 300), np.uint8)
    cv2.circle(true, (150, 100), 60, 1, -1)
    image[true > 0] += np.array([150, 100, 20], np.uint8)
    box_xyxy = np.array([90, 40, 211, 161], np.float32)
    cut = grabcut_mask(image, box_xyxy)
    filled = filled_box((200, 300), box_xyxy)
    assert mask_iou(cut, true.astype(bool)) > 0.95 > mask_iou(filled, true.astype(bool))
    assert not (cut & ~filled).any()


def test_grabcut_without_any_ground_around_the_box_fills_it() -> None:
    image = np.full((20, 20, 3), 90, np.uint8)
    assert grabcut_mask(image, np.array([0, 0, 20, 20], np.float32)).all()


def test_domains_weigh_the_same_in_their_mean_and_by_objects_in_all() -> None:
    def row(domain: str, area_px: int, iou: float) -> ObjectRow:
        image = TaggedImage(f"{domain}/1", Path("1.png"), (9, 9), ())
        return ObjectRow(image, 0, area_px, dict.fromkeys((*MEASURES, *BASELINES), iou))

    report = summarise([row("few", 20_000, 1.0), *[row("many", 100, 0.5)] * 3])
    assert report["all"]["box_miou"] == pytest.approx(0.625)
    assert report["mean_of_domains"]["box_miou"] == pytest.approx(0.75)
    assert report["small"]["objects"] == report["domains"]["many"]["objects"] == 3
    assert report["large"]["grabcut_miou"] == 1.0
    assert report["medium"]["box_miou"] is None


def test_data_without_masks_is_named_and_no_report_is_written(tmp_path: Path) -> None:
    boxed = TaggedImage("a", Path("a.png"), (9, 9), ("Bolt",), (TrueObject("Bolt", (1.0, 1.0, 5.0, 5.0)),))
    with pytest.raises(UserError, match="data: none of the 2 images has an object with a mask: give a data set with"):
        report_sam(tmp_path / "run", [boxed, TaggedImage("b", Path("b.png"), (9, 9), ())], tmp_path / "report.json")
    assert list(tmp_path.iterdir()) == []
