from __future__ import annotations

from weaksam.formats.labelled import LabelledImage, LabelledObject
from weaksam.labelling.replay import Tolerance, compare
from weaksam.mask_schemas import RleMask
from weaksam.schemas import BundleInfo, Detection, DetectResult, ImageInfo

BOX = (1.0, 1.0, 3.0, 3.0)


def test_a_mask_that_was_empty_and_still_is() -> None:
    mask = RleMask(size=(4, 6), counts="h0")  # 24 pixels of background
    found = Detection(id="a", label="nut", score=0.5, box_xyxy=BOX, mask=mask, mask_score=None, source="detector")
    result = DetectResult(
        image=ImageInfo(width=6, height=4, sha256="0" * 64),
        detections=(found,),
        tags=(),
        timing_ms={},
        bundle=BundleInfo(name="tiny", version="1", digest="0" * 64),
    )
    stored = LabelledImage(1, "a.png", (4, 6), (LabelledObject("nut", BOX, 0.5, mask.rle()),))
    assert compare(stored, result, Tolerance()) == ()
