"""A bundle with the graph `detector`: it answers first, and the scored proposals fill what it missed."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from models.bundle import MANIFEST, Bundle, BundleError
from models.bundle_files.manifest import load_bundle, write_manifest
from models.masks.drawing import mask_box
from models.settings import PostSettings, PromptSettings
from tests.support.bundles.service_parts import (
    BLUE,
    GREEN,
    PALE_RED,
    RED,
    TWO_BOLTS_AND_A_NUT,
    WatchedBackend,
    decoded,
    detect_once,
    mask_of,
    metric,
    tiny_pipeline,
)
from tests.support.bundles.tiny_bundle import picture, write_tiny_bundle
from weaksam.errors import UserError
from weaksam.schemas import Detection, DetectOptions

PATCH = (16, 16, 32, 32)
RED_AND_BLUE = picture((PATCH, RED), ((40, 40, 56, 52), BLUE))
SURE = 1 / (1 + np.exp(-8))


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    post = PostSettings(mask_source="detector", quality_power=0.0, sent_tag_min_score=1.0)
    return write_tiny_bundle(tmp_path_factory.mktemp("with_detector"), post=post, detector=True)


def rows(detections: tuple[Detection, ...]) -> list[tuple[str, str, tuple[float, ...]]]:
    return [(found.label, found.source, found.box_xyxy) for found in detections]


def test_the_detector_answers_and_proposals_fill_what_it_missed(bundle: Bundle) -> None:
    result = detect_once(bundle.folder, RED_AND_BLUE, ["red-bolt", "blue-wrench"])
    assert rows(result.detections) == [
        ("red-bolt", "detector", (16, 16, 32, 32)),
        ("blue-wrench", "wsod", (40, 40, 56, 52)),
    ]
    assert [(row.status, row.count, row.stage) for row in result.tags] == [("found", 1, None)] * 2


def test_a_class_that_the_detector_found_gets_nothing_from_proposals(bundle: Bundle) -> None:
    # The tiny detector draws one box around both bolts, where the proposals would give two.
    result = detect_once(bundle.folder, TWO_BOLTS_AND_A_NUT, ["red-bolt", "blue-wrench"], min_score=0.5)
    assert rows(result.detections) == [("red-bolt", "detector", (8, 8, 56, 52))]


def test_a_low_min_score_shows_more_and_changes_nothing_in_who_answers(bundle: Bundle) -> None:
    # The detector's 0.6 is below its calibrated 0.7: it missed the bolt, and a bolt must not come back twice.
    assert detect_once(bundle.folder, picture((PATCH, PALE_RED)), ["red-bolt"]).detections == ()
    result = detect_once(bundle.folder, picture((PATCH, PALE_RED)), ["red-bolt"], min_score=0.5)
    assert rows(result.detections) == [("red-bolt", "detector", PATCH)]


def test_a_sent_tag_that_the_detector_doubts_gets_its_best_box(tmp_path: Path) -> None:
    # 0.6 is below the calibrated 0.7.
    bundle = write_tiny_bundle(tmp_path, post=PostSettings(quality_power=0.0), detector=True)
    result = detect_once(bundle.folder, picture((PATCH, PALE_RED)), ["red-bolt"], explain=True)
    assert rows(result.detections) == [("red-bolt", "detector", PATCH)]
    assert [(row.status, row.count, row.stage) for row in result.tags] == [("found", 1, None)]
    assert result.explain is not None
    assert [round(row.min_score, 6) for row in result.explain.tags] == [0.1]


@pytest.mark.parametrize(("least_classifier_score", "status"), [(0.25, "found"), (1000.0, "not_found")])
def test_a_sent_tag_that_the_classifier_rules_out_gets_no_doubtful_box(
    tmp_path: Path, least_classifier_score: float, status: str
) -> None:
    made = write_tiny_bundle(tmp_path, post=PostSettings(quality_power=0.0), detector=True)
    thresholds = replace(made.thresholds, classifier=(least_classifier_score,) * len(made.labels))
    write_manifest(replace(made, thresholds=thresholds))
    (row,) = detect_once(tmp_path, picture((PATCH, PALE_RED)), ["red-bolt"]).tags
    assert (row.status, row.stage) == (status, None if status == "found" else "classifier")


async def test_nothing_runs_that_the_response_does_not_need(bundle: Bundle) -> None:
    backend = WatchedBackend(bundle)
    pipeline = tiny_pipeline(bundle.folder, backend)
    image = decoded(RED_AND_BLUE)
    result = await pipeline.detect(image, ["red-bolt"])
    assert dict(backend.runs) == {"detector": 1}
    assert set(result.timing_ms) == {"letterbox", "detector", "select", "masks", "total"}
    await pipeline.detect(image, ["red-bolt"], DetectOptions(min_score=0.9))
    assert dict(backend.runs) == {"detector": 1}
    await pipeline.detect(image, ["red-bolt", "blue-wrench"])
    assert (backend.runs["detector"], backend.runs["wsod"], backend.runs["cam"]) == (2, 1, 1)
    for model, count in (("cam", 1), ("sam_encoder", 1), ("detector", 2)):
        assert metric(pipeline, "weaksam_encodes_total", model=model) == count
    await pipeline.backend.aclose()


async def test_the_classifier_tells_the_ledger_where_a_tag_was_lost(bundle: Bundle) -> None:
    backend = WatchedBackend(bundle)
    pipeline = tiny_pipeline(bundle.folder, backend)
    image = decoded(picture((PATCH, (191, 0, 0))))
    (row,) = (await pipeline.detect(image, ["red-bolt"], DetectOptions(min_score=0.9))).tags
    assert (row.stage, dict(backend.runs)) == ("score", {"detector": 1, "cam": 1})
    await pipeline.backend.aclose()


async def test_box_prompts_need_the_encoder_and_nothing_of_the_classifier(tmp_path: Path) -> None:
    boxes = write_tiny_bundle(tmp_path, post=PostSettings(mask_source="box"), detector=True)
    backend = WatchedBackend(boxes)
    pipeline = tiny_pipeline(boxes.folder, backend)
    await pipeline.detect(decoded(RED_AND_BLUE), ["red-bolt"], DetectOptions(mask_format="none"))
    assert dict(backend.runs) == {"detector": 1}
    await pipeline.detect(decoded(RED_AND_BLUE), ["red-bolt"])
    assert dict(backend.runs) == {"detector": 1, "sam_encoder": 1, "sam_decoder": 1}
    await pipeline.backend.aclose()


def test_a_box_moves_towards_its_mask_and_stays_without_one(tmp_path: Path) -> None:
    # The tiny segmenter's cells are of 32 pixels here, its detector's of 8.
    image = picture(((136, 136, 168, 168), RED), size_hw=(512, 512))

    def detect(share: float, mask_format: str = "rle") -> Detection:
        folder = tmp_path / f"{share}-{mask_format}"
        folder.mkdir()
        post = PostSettings(mask_source="box", quality_power=0.0, box_mask_share=share)
        write_tiny_bundle(folder, post=post, detector=True)
        (found,) = detect_once(folder, image, ["red-bolt"], mask_format=mask_format).detections
        return found

    own, half, whole, without_mask = detect(0), detect(0.5), detect(1), detect(1, "none")
    tight_xyxy = mask_box(mask_of(own))
    assert not np.array_equal(own.box_xyxy, tight_xyxy), "or nothing could move"
    np.testing.assert_allclose(half.box_xyxy, (np.array(own.box_xyxy) + tight_xyxy) / 2, atol=0.01)
    assert whole.box_xyxy == tuple(tight_xyxy)
    assert without_mask.box_xyxy == own.box_xyxy
    assert len({found.id for found in (own, half, whole, without_mask)}) == 1


@pytest.mark.parametrize("share", [-0.1, 1.5, float("nan")])
def test_a_box_cannot_move_further_than_its_mask(share: float) -> None:
    with pytest.raises(UserError, match="box_mask_share: is .* take a share from 0 to 1, such as 0.5"):
        PostSettings(box_mask_share=share)


def test_a_box_is_enlarged_before_it_prompts_and_stays_in_the_answer(tmp_path: Path) -> None:
    def detect(margin: float) -> Detection:
        folder = tmp_path / str(margin)
        folder.mkdir()
        made = write_tiny_bundle(folder, post=PostSettings(mask_source="box"), detector=True)
        write_manifest(replace(made, prompts=replace(made.prompts, box_margin=margin)))
        (found,) = detect_once(folder, RED_AND_BLUE, ["red-bolt"]).detections
        return found

    tight, enlarged = detect(0), detect(1)
    assert mask_box(mask_of(tight)).tolist() == list(PATCH)
    assert mask_box(mask_of(enlarged)).tolist() == [16, 16, 56, 52], "the tiny segmenter takes all things in its box"
    assert tight.box_xyxy == enlarged.box_xyxy


def test_a_margin_cannot_be_negative() -> None:
    with pytest.raises(UserError, match=r"box_margin: is -0.1, take a share from 0 to 1, such as 0.5"):
        PromptSettings(box_margin=-0.1)


def test_full_effort_adds_what_the_detector_overlooked(bundle: Bundle) -> None:
    # The tiny detector draws one box around both bolts; the proposals have each.
    asked = ["red-bolt", "blue-wrench"]
    fast, full = (detect_once(bundle.folder, TWO_BOLTS_AND_A_NUT, asked, effort=effort) for effort in ("fast", "full"))
    assert rows(fast.detections) == [("red-bolt", "detector", (8, 8, 56, 52))]
    assert {row for row in rows(full.detections) if row[1] == "detector"} == set(rows(fast.detections))
    assert len([row for row in rows(full.detections) if row[:2] == ("red-bolt", "wsod")]) == 2


def test_full_effort_returns_nothing_twice(bundle: Bundle) -> None:
    fast, full = (detect_once(bundle.folder, RED_AND_BLUE, ["red-bolt"], effort=effort) for effort in ("fast", "full"))
    assert rows(fast.detections) == rows(full.detections) == [("red-bolt", "detector", (16, 16, 32, 32))]


def test_a_bundle_may_ask_for_full_effort(tmp_path: Path) -> None:
    post = PostSettings(mask_source="detector", quality_power=0.0, effort="full")
    folder = write_tiny_bundle(tmp_path, post=post, detector=True).folder
    assert len(detect_once(folder, TWO_BOLTS_AND_A_NUT, ["red-bolt"]).detections) == 3
    assert len(detect_once(folder, TWO_BOLTS_AND_A_NUT, ["red-bolt"], effort="fast").detections) == 1


def test_an_explanation_changes_nothing_of_full_effort_but_explains(bundle: Bundle) -> None:
    for tags in (["red-bolt"], ["red-bolt", "blue-wrench"]):
        plain = detect_once(bundle.folder, RED_AND_BLUE, tags, effort="full")
        explained = detect_once(bundle.folder, RED_AND_BLUE, tags, explain=True)
        assert plain.detections == explained.detections
        assert explained.explain is not None
        assert explained.explain.proposals


LEDGER: dict[str, tuple[Any, dict[str, Any], tuple[str, str | None, float | None]]] = {
    "found": (picture((PATCH, RED)), {}, ("found", None, 1.0)),
    "its own threshold": (picture((PATCH, (191, 0, 0))), {}, ("found", None, 0.749)),
    "score": (picture((PATCH, PALE_RED)), {}, ("not_found", "score", 0.6)),
    "classifier": (picture((PATCH, GREEN)), {}, ("not_found", "classifier", 0.0)),
}


@pytest.mark.parametrize(("image", "options", "row"), LEDGER.values(), ids=list(LEDGER))
def test_the_ledger_stays_right(
    bundle: Bundle, image: Any, options: dict[str, Any], row: tuple[str, str | None, float | None]
) -> None:
    (found,) = detect_once(bundle.folder, image, ["red-bolt"], **options).tags
    assert (found.status, found.stage) == row[:2]
    assert found.best_score == pytest.approx(row[2], abs=1e-3)


def test_a_detection_cut_by_the_limit_is_lost_there_and_not_at_the_proposals(bundle: Bundle) -> None:
    image = picture((PATCH, RED), ((40, 40, 56, 56), (0, 230, 0)))
    result = detect_once(bundle.folder, image, ["green-nut", "red-bolt"], max_detections=1)
    assert [(row.tag, row.stage) for row in result.tags] == [("green-nut", "limit"), ("red-bolt", None)]


def test_each_model_has_its_own_least_score(bundle: Bundle) -> None:
    # 0.749: enough for the detector's 0.7, not for the 0.8 of the proposals.
    red, blue = (191, 0, 0), (0, 0, 191)
    image = picture((PATCH, red), ((40, 40, 56, 52), blue))
    result = detect_once(bundle.folder, image, ["red-bolt", "blue-wrench"], explain=True)
    assert rows(result.detections) == [("red-bolt", "detector", PATCH)]
    assert result.explain is not None
    assert [round(row.min_score, 6) for row in result.explain.tags] == [0.7, 0.8]


def test_masks_are_the_detectors_own_and_in_pixels_of_the_picture(bundle: Bundle) -> None:
    image = picture(((160, 40, 240, 80), RED), size_hw=(160, 320))
    (found,) = detect_once(bundle.folder, image, ["red-bolt"]).detections
    assert list(found.box_xyxy) == [160, 40, 240, 80]
    assert mask_box(mask_of(found)).tolist() == [160, 40, 240, 80]
    assert mask_of(found).sum() == 80 * 40
    assert found.mask_score == pytest.approx(SURE, abs=1e-6)


def test_without_masks_of_its_own_a_detectors_box_is_a_prompt(tmp_path: Path) -> None:
    for source in ("proposal", "box"):
        folder = tmp_path / source
        folder.mkdir()
        write_tiny_bundle(folder, post=PostSettings(mask_source=source, quality_power=0.0), detector=True)
        result = detect_once(folder, RED_AND_BLUE, ["red-bolt", "blue-wrench"])
        assert [found.source for found in result.detections] == ["detector", "wsod"]
        for found in result.detections:
            assert found.mask_score == pytest.approx(0.95)
            assert mask_box(mask_of(found)).tolist() == list(found.box_xyxy)


def test_masks_of_a_detector_that_has_none_are_refused_at_the_start(tmp_path: Path) -> None:
    plain = write_tiny_bundle(tmp_path)
    values = json.loads((plain.folder / MANIFEST).read_text())
    values["post"]["mask_source"] = "detector"
    (plain.folder / MANIFEST).write_text(json.dumps(values))
    with pytest.raises(BundleError, match="mask_source is 'detector', but no graph detector gives masks"):
        load_bundle(tmp_path)


def test_a_detector_needs_its_thresholds(tmp_path: Path) -> None:
    write_tiny_bundle(tmp_path, detector=True)
    values = json.loads((tmp_path / MANIFEST).read_text())
    values["thresholds"]["detector"] = []
    (tmp_path / MANIFEST).write_text(json.dumps(values))
    with pytest.raises(BundleError, match="thresholds.detector must be 3 finite numbers"):
        load_bundle(tmp_path)


def test_a_time_budget_asks_fewer_prompts_and_the_detectors_boxes_first(tmp_path: Path) -> None:
    def prompts_asked(budget_ms: float) -> int:
        folder = tmp_path / str(budget_ms)
        folder.mkdir()
        made = write_tiny_bundle(folder, post=PostSettings(mask_source="box", quality_power=0.0), detector=True)
        write_manifest(replace(made, prompts=replace(made.prompts, budget_ms=budget_ms)))
        return detect_once(folder, TWO_BOLTS_AND_A_NUT, ["red-bolt"], effort="full").prompts_asked

    unlimited = prompts_asked(0)
    assert prompts_asked(1e-6) == 1 < unlimited
    assert prompts_asked(1e6) == unlimited + 1, "the one box of the detector"


def test_a_negative_budget_is_refused() -> None:
    with pytest.raises(UserError, match=r"budget_ms: is -1, take milliseconds such as 2000, or 0 for no limit"):
        PromptSettings(budget_ms=-1)


@pytest.mark.parametrize("detector", [True, False], ids=["with the detector's boxes", "alone"])
def test_the_parts_of_a_tags_map_are_asked_about_as_boxes(tmp_path: Path, detector: bool) -> None:
    def prompts_asked(*values: float) -> int:
        folder = tmp_path / str(len(values))
        folder.mkdir()
        made = write_tiny_bundle(folder, post=PostSettings(mask_source="box", quality_power=0.0), detector=detector)
        write_manifest(replace(made, prompts=replace(made.prompts, cam_box_values=values, budget_ms=1e6)))
        return detect_once(folder, TWO_BOLTS_AND_A_NUT, ["red-bolt"], effort="full").prompts_asked

    assert prompts_asked(0.5) == prompts_asked() + 2, "a box for each bolt"
