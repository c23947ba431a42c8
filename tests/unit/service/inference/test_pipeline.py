from __future__ import annotations

import asyncio
import base64
import io
import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image

from models.boxes import points_in_boxes
from models.bundle import Bundle
from models.bundle_files.manifest import write_manifest
from models.masks.drawing import mask_box
from models.settings import PostSettings
from service.errors import BackendMismatch, TooManyTags, UnknownTag
from service.inference import mask_rendering
from service.inference.pipeline import Pipeline
from tests.support.bundles.service_parts import (
    BLUE,
    DIM_RED,
    GREEN,
    PALE_RED,
    PATIENCE_S,
    RED,
    TWO_BOLTS_AND_A_NUT,
    WatchedBackend,
    decoded,
    detect_once,
    mask_of,
    metric,
    tiny_pipeline,
    until,
)
from tests.support.bundles.tiny_bundle import picture, write_tiny_bundle
from tests.support.fakes.fake_backend import FakeBackend
from weaksam.arrays import Mask
from weaksam.formats.polygons import polygons_to_mask
from weaksam.mask_schemas import AnyMask, MaskOptions, PngMask, PolygonMask
from weaksam.schemas import DetectOptions, DetectResult

PATCH = (16, 16, 32, 32)


def found_labels(result: DetectResult) -> list[str]:
    return [detection.label for detection in result.detections]


def test_all_instances_of_a_tag_come_back_as_tight_boxes_with_their_masks(tiny_bundle: Bundle) -> None:
    result = detect_once(tiny_bundle.folder, TWO_BOLTS_AND_A_NUT, ["Red Bolt"])
    assert [(d.label, d.score, d.box_xyxy, d.mask_score, d.source) for d in result.detections] == [
        ("red-bolt", 1.0, (8.0, 8.0, 24.0, 24.0), 0.95, "wsod"),
        ("red-bolt", 1.0, (40.0, 40.0, 56.0, 52.0), 0.95, "wsod"),
    ]
    for detection in result.detections:
        assert mask_box(mask_of(detection)).tolist() == list(detection.box_xyxy)
    assert [(row.tag, row.status, row.count) for row in result.tags] == [("Red Bolt", "found", 2)]


def test_boxes_and_masks_are_in_pixels_of_the_picture_whatever_its_shape(tiny_bundle: Bundle) -> None:
    image = picture(((160, 40, 240, 80), RED), size_hw=(160, 320))  # letterboxed at a fifth, 32 of 64 rows
    (detection,) = detect_once(tiny_bundle.folder, image, ["red-bolt"]).detections
    assert list(detection.box_xyxy) == [160, 40, 240, 80]
    mask_hw = mask_of(detection)
    assert mask_hw.shape == (160, 320)
    np.testing.assert_allclose(mask_box(mask_hw), [160, 40, 240, 80], atol=3)


LEDGER: dict[str, tuple[Any, dict[str, Any], tuple[str, int, str | None, float | None]]] = {
    "found": (picture((PATCH, RED)), {}, ("found", 1, None, 1.0)),
    "classifier": (picture((PATCH, GREEN)), {}, ("not_found", 0, "classifier", 0.0)),
    "proposals": (picture((PATCH, DIM_RED)), {}, ("not_found", 0, "proposals", None)),
    "score": (picture((PATCH, PALE_RED)), {}, ("not_found", 0, "score", 0.6)),
    "score, by the request": (picture((PATCH, RED)), {"min_score": 1.0}, ("found", 1, None, 1.0)),
    "score lowered by the request": (picture((PATCH, PALE_RED)), {"min_score": 0.5}, ("found", 1, None, 0.6)),
}


@pytest.mark.parametrize(("image", "options", "row"), LEDGER.values(), ids=list(LEDGER))
def test_the_ledger_says_where_a_tag_was_lost(
    tiny_bundle: Bundle, image: Any, options: dict[str, Any], row: tuple[str, int, str | None, float | None]
) -> None:
    (found,) = detect_once(tiny_bundle.folder, image, ["red-bolt"], **options).tags
    assert (found.status, found.count, found.stage) == row[:3]
    assert found.best_score == pytest.approx(row[3])
    assert (found.predicted, found.nearest) == (False, ())


def test_a_tag_cut_by_the_limit_is_lost_there(tiny_bundle: Bundle) -> None:
    image = picture((PATCH, RED), ((40, 40, 56, 56), (0, 230, 0)))
    result = detect_once(tiny_bundle.folder, image, ["green-nut", "red-bolt"], max_detections=1)
    assert found_labels(result) == ["red-bolt"]
    assert [(row.tag, row.stage) for row in result.tags] == [("green-nut", "limit"), ("red-bolt", None)]


def test_a_tag_that_the_classifier_does_not_see_is_searched_for_all_the_same(tiny_bundle: Bundle) -> None:
    # Half the patch's side: one classifier cell is a quarter full.
    image = picture(((20, 20, 24, 24), RED))
    (row,) = detect_once(tiny_bundle.folder, image, ["red-bolt"]).tags
    assert (row.status, row.stage) == ("found", None)


def test_an_unknown_tag_is_refused_or_skipped(tiny_bundle: Bundle) -> None:
    image = picture((PATCH, RED))
    with pytest.raises(UnknownTag):
        detect_once(tiny_bundle.folder, image, ["red-bolt", "gasket"])
    result = detect_once(tiny_bundle.folder, image, ["gasket", "red-bolt"], unknown_tags="skip")
    assert [(row.tag, row.status) for row in result.tags] == [("gasket", "unknown"), ("red-bolt", "found")]
    assert len(result.tags[0].nearest) == 3
    only_unknown = detect_once(tiny_bundle.folder, image, ["gasket"], unknown_tags="skip")
    assert (only_unknown.detections, len(only_unknown.tags)) == ((), 1)


def test_without_tags_the_classifier_proposes_them(tiny_bundle: Bundle) -> None:
    result = detect_once(tiny_bundle.folder, TWO_BOLTS_AND_A_NUT)
    assert [(row.tag, row.label, row.predicted, row.count) for row in result.tags] == [
        ("red-bolt", "red-bolt", True, 2),
        ("green-nut", "green-nut", True, 1),
    ]
    empty = detect_once(tiny_bundle.folder, picture())
    assert (empty.detections, empty.tags) == ((), ())


def test_only_tagged_classes_come_back(tiny_bundle: Bundle) -> None:
    assert found_labels(detect_once(tiny_bundle.folder, TWO_BOLTS_AND_A_NUT, ["green-nut"])) == ["green-nut"]


def test_masks_come_as_asked_for(tiny_bundle: Bundle) -> None:
    image = picture((PATCH, RED))
    (png,) = detect_once(tiny_bundle.folder, image, ["red-bolt"], mask_format="png").detections
    assert isinstance(png.mask, PngMask)
    (polygon,) = detect_once(
        tiny_bundle.folder, image, ["red-bolt"], mask_format="polygon", min_fidelity=1.0
    ).detections
    assert isinstance(polygon.mask, PolygonMask)
    rings = [np.reshape(ring, (-1, 2)) for ring in polygon.mask.polygons]
    with_png = cv2.imdecode(np.frombuffer(base64.b64decode(png.mask.png_base64), np.uint8), cv2.IMREAD_GRAYSCALE)
    assert np.array_equal(polygons_to_mask(rings, polygon.mask.size), with_png == 255)
    assert polygon.mask.fidelity_iou == 1.0
    (none,) = detect_once(tiny_bundle.folder, image, ["red-bolt"], mask_format="none").detections
    assert (none.mask, none.mask_score) == (None, None)
    assert none.id == png.id


def test_ids_are_the_same_for_the_same_answer_and_differ_otherwise(tiny_bundle: Bundle) -> None:
    first, again = (detect_once(tiny_bundle.folder, TWO_BOLTS_AND_A_NUT, ["red-bolt"]) for _ in range(2))
    assert first.detections == again.detections
    other = detect_once(tiny_bundle.folder, picture(((8, 8, 24, 24), RED)), ["red-bolt"])
    ids = [detection.id for result in (first, other) for detection in result.detections]
    assert len(set(ids)) == 3


def test_explain_gives_peaks_and_proposals_in_pixels_of_the_picture(tiny_bundle: Bundle) -> None:
    image = picture(((160, 40, 240, 80), RED), size_hw=(160, 320))
    result = detect_once(tiny_bundle.folder, image, ["blue-wrench", "red-bolt"], explain=True)
    assert result.explain is not None
    red, blue = result.explain.tags
    assert (red.label, red.classifier_score, round(red.min_score, 6)) == ("red-bolt", 1.0, 0.8)
    assert red.peaks
    assert all(160 <= x < 240 and 40 <= y < 80 for x, y in (peak.point_xy for peak in red.peaks))
    assert (blue.label, blue.peaks) == ("blue-wrench", ())
    best = int(np.argmax(red.proposal_scores))
    assert result.explain.proposals[best].box_xyxy == (160, 40, 240, 80)
    assert result.explain.proposals[best].from_peak
    assert len(red.proposal_scores) == len(blue.proposal_scores) == len(result.explain.proposals)
    assert detect_once(tiny_bundle.folder, image, ["red-bolt"]).explain is None


def test_explain_gives_each_tag_a_heat_map_over_the_whole_image(tiny_bundle: Bundle) -> None:
    image = picture(((160, 40, 240, 80), RED), size_hw=(160, 320))
    result = detect_once(tiny_bundle.folder, image, ["blue-wrench", "red-bolt"], explain=True)
    assert result.explain is not None
    red, blue = (_grey_png(tag.cam_png_base64) for tag in result.explain.tags)
    assert red.shape == blue.shape == (80, 160), "the shape of the image, not of the square input"
    y, x = np.unravel_index(red.argmax(), red.shape)
    assert red.max() == 255
    assert 160 <= 2 * x < 240
    assert 40 <= 2 * y < 80
    assert not blue.any(), "a flat map is black"


def test_explain_tells_boxes_from_points(tmp_path: Path) -> None:
    made = write_tiny_bundle(tmp_path)
    write_manifest(replace(made, prompts=replace(made.prompts, cam_box_values=(0.5,))))
    image = picture(((160, 40, 240, 80), RED), size_hw=(160, 320))
    explained = detect_once(tmp_path, image, ["red-bolt"], explain=True).explain
    assert explained is not None
    boxes_xyxy = np.array([prompt.box_xyxy for prompt in explained.prompts if prompt.box_xyxy])
    assert len(boxes_xyxy)
    assert points_in_boxes(np.array([[200, 60]]), boxes_xyxy).all(), "the map is high where the patch is"
    for prompt in explained.prompts:
        assert (prompt.box_xyxy is None) == bool(prompt.points_xy)
        assert prompt.box_xyxy is None or not prompt.from_peak


def test_explain_says_what_became_of_each_prompt(tiny_bundle: Bundle) -> None:
    image = picture(((160, 40, 240, 80), RED), size_hw=(160, 320))
    explained = detect_once(tiny_bundle.folder, image, ["red-bolt"], explain=True).explain
    assert explained is not None
    of_fate = {
        fate: {i for i, prompt in enumerate(explained.prompts) if prompt.fate == fate}
        for fate in ("kept", "dropped", "poor")
    }
    assert of_fate["kept"] == {row.prompt for row in explained.proposals}
    assert of_fate["dropped"] == {row.prompt for row in explained.dropped} - of_fate["kept"]
    assert of_fate["poor"], "the grid asks beside the patch, too"
    first = explained.prompts[0]
    assert first.from_peak
    assert first.points_xy == (explained.tags[0].peaks[0].point_xy,)
    assert [prompt.from_peak for prompt in explained.prompts] == sorted(
        (prompt.from_peak for prompt in explained.prompts), reverse=True
    )
    assert all(0 <= x < 320 and 0 <= y < 160 for prompt in explained.prompts for x, y in prompt.points_xy)


def _grey_png(png_base64: str) -> npt.NDArray[np.uint8]:
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(png_base64))))


def test_a_mask_can_come_from_a_box_prompt(tmp_path: Path) -> None:
    bundle = write_tiny_bundle(tmp_path, post=PostSettings(mask_source="box", quality_power=0.0))
    (detection,) = detect_once(bundle.folder, picture((PATCH, RED)), ["red-bolt"]).detections
    assert mask_box(mask_of(detection)).tolist() == list(PATCH)
    assert detection.mask_score == pytest.approx(0.95)


async def test_a_request_that_is_given_up_draws_no_more_masks(
    tiny_bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn: list[object] = []
    first, go_on = asyncio.Event(), threading.Event()
    loop, real = asyncio.get_running_loop(), mask_rendering.encode_mask

    def hold(mask_hw: Mask, options: MaskOptions) -> AnyMask | None:
        drawn.append(mask_hw)
        loop.call_soon_threadsafe(first.set)
        go_on.wait(PATIENCE_S)
        return real(mask_hw, options)

    monkeypatch.setattr(mask_rendering, "encode_mask", hold)
    pipeline = tiny_pipeline(tiny_bundle.folder)
    request = asyncio.create_task(pipeline.detect(decoded(TWO_BOLTS_AND_A_NUT), ["red-bolt"]))
    await first.wait()
    request.cancel()
    go_on.set()
    with pytest.raises(asyncio.CancelledError):
        await request
    await pipeline.backend.aclose()
    assert len(drawn) == 1


def test_the_limits_hold_whatever_is_asked_for(tiny_bundle: Bundle) -> None:
    async def run(pipeline: Pipeline) -> None:
        options = DetectOptions(max_detections=50)
        assert len((await pipeline.detect(decoded(TWO_BOLTS_AND_A_NUT), (), options)).detections) == 2
        with pytest.raises(TooManyTags):
            await pipeline.detect(decoded(TWO_BOLTS_AND_A_NUT), ["red-bolt", "green-nut", "blue-wrench"])
        await pipeline.backend.aclose()

    asyncio.run(run(tiny_pipeline(tiny_bundle.folder, max_detections=2, max_tags=2)))


async def test_one_encode_a_picture_and_none_for_other_tags(tiny_bundle: Bundle) -> None:
    backend = WatchedBackend(tiny_bundle)
    pipeline = tiny_pipeline(tiny_bundle.folder, backend)
    image = decoded(TWO_BOLTS_AND_A_NUT)
    await pipeline.detect(image, ["red-bolt"])
    assert (backend.runs["cam"], backend.runs["sam_encoder"], backend.runs["wsod"]) == (1, 1, 1)
    await pipeline.detect(image, ["green-nut", "blue-wrench"])
    assert (backend.runs["cam"], backend.runs["sam_encoder"], backend.runs["wsod"]) == (1, 1, 2)
    decodes = backend.runs["sam_decoder"]
    # The same tags again, in another order and with other options: nothing but the masks is made.
    await pipeline.detect(image, ["blue wrench", "green nut"], DetectOptions(min_score=0.9, mask_format="none"))
    assert (backend.runs["sam_decoder"], backend.runs["wsod"]) == (decodes, 2)
    with pytest.raises(UnknownTag):
        await pipeline.detect(image, ["gasket"])
    assert metric(pipeline, "weaksam_images_total") == 3
    assert metric(pipeline, "weaksam_encodes_total", model="sam_encoder") == 1
    assert metric(pipeline, "weaksam_encodes_total", model="cam") == 1
    await pipeline.backend.aclose()


async def test_without_a_cache_there_is_still_one_encode_a_request(tiny_bundle: Bundle) -> None:
    backend = WatchedBackend(tiny_bundle)
    pipeline = tiny_pipeline(tiny_bundle.folder, backend, cache_bytes=0)
    for _ in range(3):
        await pipeline.detect(decoded(TWO_BOLTS_AND_A_NUT))
    assert (backend.runs["cam"], backend.runs["sam_encoder"], backend.runs["wsod"]) == (3, 3, 3)
    assert metric(pipeline, "weaksam_cache_bytes") == 0
    await pipeline.backend.aclose()


async def test_equal_requests_at_the_same_time_are_worked_out_once(tiny_bundle: Bundle) -> None:
    backend = WatchedBackend(tiny_bundle)
    pipeline = tiny_pipeline(tiny_bundle.folder, backend)
    image = decoded(TWO_BOLTS_AND_A_NUT)
    results = await asyncio.gather(*(pipeline.detect(image, ["red-bolt"]) for _ in range(8)))
    assert (backend.runs["cam"], backend.runs["sam_encoder"], backend.runs["wsod"]) == (1, 1, 1)
    assert len({result.model_dump_json(exclude={"timing_ms"}) for result in results}) == 1
    await pipeline.backend.aclose()


async def test_cam_and_encoder_run_at_the_same_time(tiny_bundle: Bundle) -> None:
    backend = WatchedBackend(tiny_bundle)
    pipeline = tiny_pipeline(tiny_bundle.folder, backend)
    backend.shut()
    task = asyncio.create_task(pipeline.detect(decoded(TWO_BOLTS_AND_A_NUT), ["red-bolt"]))
    await until(lambda: backend.held == 2)
    backend.release()
    await task
    await pipeline.backend.aclose()


async def test_the_stages_that_ran_are_timed(tiny_bundle: Bundle) -> None:
    pipeline = tiny_pipeline(tiny_bundle.folder)
    image = decoded(TWO_BOLTS_AND_A_NUT)
    first, again = [await pipeline.detect(image, ["red-bolt"]) for _ in range(2)]
    ran = {"letterbox", "cam", "sam_encoder", "proposals", "wsod"}
    assert set(first.timing_ms) == {*ran, "select", "masks", "total"}
    assert set(again.timing_ms) == {"select", "masks", "total"}
    assert all(spent_ms >= 0 for spent_ms in first.timing_ms.values())
    assert first.timing_ms["total"] >= first.timing_ms["proposals"] + first.timing_ms["wsod"]
    await pipeline.backend.aclose()


async def test_tag_outcomes_are_counted(tiny_bundle: Bundle) -> None:
    pipeline = tiny_pipeline(tiny_bundle.folder)
    await pipeline.detect(
        decoded(picture((PATCH, RED))), ["red-bolt", "green-nut", "x"], DetectOptions(unknown_tags="skip")
    )
    outcomes = {
        name: metric(pipeline, "weaksam_tags_total", outcome=name) for name in ("found", "classifier", "unknown")
    }
    assert outcomes == {"found": 1, "classifier": 1, "unknown": 1}
    await pipeline.backend.aclose()


def test_a_backend_for_which_the_bundle_has_no_sizes_is_refused(tiny_bundle: Bundle) -> None:
    async def never(*_: object) -> dict[str, Any]:
        raise AssertionError

    with pytest.raises(BackendMismatch, match="names triton, onnxruntime, not openvino"):
        tiny_pipeline(tiny_bundle.folder, FakeBackend(never, kind="openvino"))


def test_many_detections_with_masks_use_full_runs(tiny_bundle: Bundle) -> None:
    patches = [((x, y, x + 8, y + 8), colour) for y, colour in ((4, RED), (24, GREEN), (44, BLUE)) for x in (4, 24, 44)]
    result = detect_once(tiny_bundle.folder, picture(*patches))
    assert len(result.detections) == 9
    boxes = sorted(mask_box(mask_of(detection)).tolist() for detection in result.detections)
    assert boxes == sorted([float(side) for side in box] for box, _ in patches)
