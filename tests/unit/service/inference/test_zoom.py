"""Small objects are looked at again, enlarged: by requests that ask for it, each part once."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from models.bundle import Bundle
from models.settings import PostSettings
from service.errors import ImageNotCached
from service.inference.pipeline import Pipeline
from tests.support.bundles.service_parts import GREEN, RED, WatchedBackend, decoded, tiny_pipeline
from tests.support.bundles.tiny_bundle import picture, write_tiny_bundle
from training.sam.baselines import filled_box
from weaksam.arrays import Mask
from weaksam.formats.polygons import mask_iou
from weaksam.formats.run_lengths import decode_rle
from weaksam.mask_schemas import RleMask
from weaksam.schemas import DetectOptions
from weaksam.segment_schemas import SegmentParameters, SegmentResult

# The masks of the tiny segmenter are in cells of 32 pixels here, and of 8 or 16 in a part of the image.
BOLT = (136, 136, 168, 168)
IMAGE = picture((BOLT, RED), size_hw=(512, 512))
BOLT_MASK = filled_box((512, 512), np.array(BOLT, np.float32))
ON_BOLT = ((150.0, 150.0, 1),)


@pytest.fixture
def bundle(tmp_path: Path) -> Bundle:
    return write_tiny_bundle(tmp_path, post=PostSettings(mask_source="box", quality_power=0.0))


def notched(x0: int, y0: int) -> Mask:
    """Return a square of 64 pixels without a corner of 16."""
    mask_hw = np.zeros((512, 512), bool)
    mask_hw[y0 : y0 + 64, x0 : x0 + 64] = True
    mask_hw[y0 : y0 + 16, x0 : x0 + 16] = False
    return mask_hw


def iou(mask: object, true_hw: Mask) -> float:
    assert isinstance(mask, RleMask)
    return mask_iou(decode_rle(mask.rle()), true_hw)


async def test_zoom_sharpens_the_masks_of_small_detections(bundle: Bundle) -> None:
    backend = WatchedBackend(bundle)
    pipeline = tiny_pipeline(bundle.folder, backend)
    true_masks = {"red-bolt": notched(128, 128), "green-nut": notched(384, 320)}
    pixels = picture(size_hw=(512, 512))
    pixels[true_masks["red-bolt"]], pixels[true_masks["green-nut"]] = RED, GREEN
    image = decoded(pixels)
    plain = await pipeline.detect(image, list(true_masks))
    assert backend.runs["sam_encoder"] == 1
    zoomed = await pipeline.detect(image, list(true_masks), DetectOptions(zoom=True))
    assert backend.runs["sam_encoder"] == 3, "the whole image is known, each thing has a part of its own"
    assert len(zoomed.detections) == 2
    for before, after in zip(plain.detections, zoomed.detections, strict=True):
        assert (before.id, before.box_xyxy, before.score) == (after.id, after.box_xyxy, after.score)
        true_hw = true_masks[after.label]
        assert iou(after.mask, true_hw) > 0.99 > iou(before.mask, true_hw), "only the second look sees the notch"
    await pipeline.detect(image, ["red-bolt"], DetectOptions(zoom=True))
    assert backend.runs["sam_encoder"] == 3, "nothing is encoded twice"
    await pipeline.backend.aclose()


async def test_a_large_object_costs_no_second_look(bundle: Bundle) -> None:
    backend = WatchedBackend(bundle)
    pipeline = tiny_pipeline(bundle.folder, backend)
    image = decoded(picture(((100, 100, 400, 400), RED), size_hw=(512, 512)))
    plain, zoomed = [await pipeline.detect(image, ["red-bolt"], DetectOptions(zoom=zoom)) for zoom in (False, True)]
    assert plain.detections == zoomed.detections
    assert backend.runs["sam_encoder"] == 1
    await pipeline.backend.aclose()


@pytest.mark.parametrize("prompt", [{"points": ON_BOLT}, {"box": BOLT}], ids=["point", "box"])
async def test_zoom_sharpens_what_is_clicked(bundle: Bundle, prompt: dict[str, object]) -> None:
    pipeline = tiny_pipeline(bundle.folder)
    plain, zoomed = [
        await pipeline.segment(decoded(IMAGE), SegmentParameters.model_validate({**prompt, "zoom": zoom}))
        for zoom in (False, True)
    ]
    assert iou(zoomed.masks[0].mask, BOLT_MASK) > 0.9 > iou(plain.masks[0].mask, BOLT_MASK)
    await pipeline.backend.aclose()


async def test_the_next_click_near_by_encodes_nothing(bundle: Bundle) -> None:
    backend = WatchedBackend(bundle)
    pipeline = tiny_pipeline(bundle.folder, backend)
    first = await pipeline.segment(decoded(IMAGE), SegmentParameters(points=ON_BOLT, zoom=True))
    assert backend.runs["sam_encoder"] == 2
    off_bolt = (400.0, 400.0, 0)  # outside of the part
    again = await _click(pipeline, first.image.sha256, (*ON_BOLT, (140.0, 160.0, 1), off_bolt))
    assert backend.runs["sam_encoder"] == 2
    assert iou(again.masks[0].mask, BOLT_MASK) > 0.9
    await pipeline.backend.aclose()


async def test_a_digest_alone_is_enough_only_once_zoom_has_seen_the_image(bundle: Bundle) -> None:
    pipeline = tiny_pipeline(bundle.folder)
    first = await pipeline.segment(decoded(IMAGE), SegmentParameters(points=ON_BOLT))
    with pytest.raises(ImageNotCached, match="send the image itself"):
        await _click(pipeline, first.image.sha256, ON_BOLT)
    await pipeline.segment(decoded(IMAGE), SegmentParameters(points=((5.0, 5.0, 1),), zoom=True))
    assert iou((await _click(pipeline, first.image.sha256, ON_BOLT)).masks[0].mask, BOLT_MASK) > 0.9
    await pipeline.backend.aclose()


async def _click(pipeline: Pipeline, sha256: str, points: tuple[tuple[float, float, int], ...]) -> SegmentResult:
    request = SegmentParameters.model_validate({"points": points, "zoom": True, "image_sha256": sha256})
    return await pipeline.segment(None, request)
