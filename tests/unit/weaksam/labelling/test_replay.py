from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any, cast

import pytest

from weaksam.client import AsyncClient
from weaksam.formats.labelled import LabelledImage, LabelledObject, LabelledSet
from weaksam.labelling import replay as replaying
from weaksam.labelling.replay import Tolerance, compare
from weaksam.mask_schemas import RleMask
from weaksam.schemas import BundleInfo, Detection, DetectResult, ImageInfo, LabelsResponse

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


class LabelsAlone:
    """A client that knows the labels; images go elsewhere."""

    async def labels(self) -> LabelsResponse:
        return LabelsResponse(bundle=BundleInfo(name="tiny", version="1", digest="0" * 64), labels=())


async def test_an_error_of_one_worker_stops_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    stopped: list[str] = []

    async def detect_file(client: AsyncClient, path: Path, tags: Any, options: Any) -> DetectResult:
        if path.name == "0.png":
            await asyncio.sleep(0.01)
            raise RuntimeError("of the test")
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            stopped.append(path.name)
            raise
        raise AssertionError("it was not stopped")

    monkeypatch.setattr(replaying, "detect_file", detect_file)
    images = tuple(LabelledImage(number, f"{number}.png", (4, 6), (), tags=("nut",)) for number in range(5))
    labelled, client = LabelledSet(("nut",), images, {"options": {}}), cast(AsyncClient, LabelsAlone())
    with pytest.raises(RuntimeError, match="of the test"):
        await replaying.replay(labelled, Path("in"), client, Tolerance(), 3, lambda: None)
    assert sorted(stopped) == ["1.png", "2.png"]
