"""Whatever the picture and the tags: only tagged classes come back, and every tag is accounted for."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from models.boxes import pairwise_iou
from models.bundle import Bundle
from models.settings import PostSettings
from tests.support.bundles.service_parts import detect_once
from tests.support.bundles.tiny_bundle import DETECTOR_SCORE_LEAST, LABELS, SCORE_LEAST, picture, write_tiny_bundle
from weaksam.arrays import Float32
from weaksam.schemas import DetectResult
from weaksam.tag_texts import fold_label

TAGS = st.sampled_from(["red-bolt", "Red Bolt", "rivet", "green_nut", "BLUE WRENCH", "gasket", "washer", " "])

# Boxes of small images are rounded to hundredths of a pixel, and cut at the image's edge.
ROUNDING = 0.02


@st.composite
def pictures(draw: st.DrawFn) -> npt.NDArray[np.uint8]:
    height, width = draw(st.tuples(st.integers(1, 96), st.integers(1, 96)))
    patches = draw(
        st.lists(
            st.tuples(
                st.tuples(*[st.integers(0, 90)] * 2),
                st.tuples(*[st.integers(1, 30)] * 2),
                st.sampled_from(range(3)),
                st.integers(60, 255),
            ),
            max_size=5,
        )
    )
    return picture(
        *(
            ((x, y, x + w, y + h), tuple(level * (channel == c) for c in range(3)))
            for (x, y), (w, h), channel, level in patches
        ),
        size_hw=(height, width),
    )


@pytest.fixture(scope="session")
def folders(tiny_bundle: Bundle, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    post = PostSettings(quality_power=0.0, mask_source="detector")
    with_detector = write_tiny_bundle(tmp_path_factory.mktemp("with_detector"), post=post, detector=True)
    return {"wsod": tiny_bundle.folder, "detector": with_detector.folder}


@pytest.mark.parametrize("first", ["wsod", "detector"])
@given(
    image=pictures(),
    tags=st.lists(TAGS, max_size=6),
    min_score=st.none() | st.floats(0, 1),
    max_detections=st.integers(1, 5),
    explain=st.booleans(),
)
@hypothesis_settings(max_examples=100)
def test_the_world_is_closed_and_the_ledger_complete(
    folders: dict[str, Path],
    first: str,
    image: npt.NDArray[np.uint8],
    tags: list[str],
    min_score: float | None,
    max_detections: int,
    explain: bool,
) -> None:
    result = detect_once(
        folders[first],
        image,
        tags,
        min_score=min_score,
        max_detections=max_detections,
        unknown_tags="skip",
        explain=explain,
    )
    sent = {fold_label(tag): tag for tag in tags if tag.strip()}
    found = [detection.label for detection in result.detections]
    if sent:
        allowed = {LABELS.names[index] for tag in sent if (index := LABELS.index(tag)) is not None}
        assert set(found) <= allowed
        assert [fold_label(row.tag) for row in result.tags] == list(
            dict.fromkeys(fold_label(t) for t in tags if t.strip())
        )
    else:
        assert set(found) <= {row.label for row in result.tags}
        assert all(row.predicted for row in result.tags)
    for row in result.tags:
        assert row.count == found.count(row.label or "")
        assert (row.status == "found") == (row.count > 0)
        assert (row.stage is not None) == (row.status == "not_found")
    height, width = image.shape[:2]
    assert len(found) <= max_detections
    for detection in result.detections:
        x0, y0, x1, y1 = detection.box_xyxy
        assert 0 <= x0 <= x1 <= width
        assert 0 <= y0 <= y1 <= height
        least = DETECTOR_SCORE_LEAST if detection.source == "detector" else SCORE_LEAST
        assert detection.score >= (least if min_score is None else min_score) - 1e-6
    for label in set(found):
        by_detector = _boxes(result, label, "detector")
        others = _boxes(result, label, "wsod")
        # An explanation takes the whole way and merges what both models found; a low `min_score` also shows what the
        # detector did not trust. Else one model decides about a class.
        if not explain and (min_score is None or min_score >= DETECTOR_SCORE_LEAST):
            assert not (len(by_detector) and len(others))
        assert (pairwise_iou(by_detector, others) <= PostSettings().nms_iou + ROUNDING).all(), "one object, two boxes"


def _boxes(result: DetectResult, label: str, source: str) -> Float32:
    found = [row.box_xyxy for row in result.detections if (row.label, row.source) == (label, source)]
    return np.array(found, np.float32).reshape(-1, 4)
