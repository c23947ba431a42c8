"""What a real Triton finds in photographs is what onnxruntime finds in the service's own process."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from deploy.triton.config import TritonOptions
from models.bundle import DEFAULT_BUNDLE
from models.bundle_files.manifest import load_bundle
from models.image import decode_image
from service.inference.open_pipeline import create_pipeline
from service.inference.pipeline import Pipeline
from service.settings import load_settings
from tests.support.triton.fixtures import tiny_repository
from tests.support.triton.server import running_triton
from training.data.open_dataset import open_dataset
from weaksam.formats.run_lengths import decode_rle
from weaksam.mask_schemas import RleMask
from weaksam.schemas import DetectResult

PHOTOGRAPHS = 50


async def detect_all(pipeline: Pipeline, photographs: list[tuple[bytes, tuple[str, ...]]]) -> list[DetectResult]:
    try:
        return [await pipeline.detect(decode_image(data), tags) for data, tags in photographs]
    finally:
        await pipeline.backend.aclose()


def mask_iou(one: RleMask, other: RleMask) -> float:
    first, second = (decode_rle(mask.rle()) for mask in (one, other))
    union = np.logical_or(first, second).sum()
    return float(np.logical_and(first, second).sum() / union) if union else 1.0


def assert_same(expected: DetectResult, found: DetectResult) -> None:
    assert [row.label for row in found.detections] == [row.label for row in expected.detections]
    assert [(row.tag, row.status, row.stage) for row in found.tags] == [
        (row.tag, row.status, row.stage) for row in expected.tags
    ]
    for one, other in zip(expected.detections, found.detections, strict=True):
        np.testing.assert_allclose(other.box_xyxy, one.box_xyxy, atol=0.5)
        assert other.score == pytest.approx(one.score, abs=1e-3)
        assert isinstance(one.mask, RleMask)
        assert isinstance(other.mask, RleMask)
        assert mask_iou(one.mask, other.mask) >= 0.999


async def test_fod_a_photographs(fod_a_dir: Path, tmp_path: Path) -> None:
    images = open_dataset(fod_a_dir, "test").images
    picked = np.linspace(0, len(images) - 1, PHOTOGRAPHS).round().astype(int)
    photographs = [(images[index].path.read_bytes(), images[index].tags) for index in picked]
    one_by_one = TritonOptions("python", "cpu", max_batch=1)
    with running_triton(tiny_repository(load_bundle(DEFAULT_BUNDLE), tmp_path, one_by_one)) as server:
        served = create_pipeline(load_settings(backend="triton", triton_urls=server.grpc_url, deadline_s=600))
        found = await detect_all(served, photographs)
    expected = await detect_all(create_pipeline(load_settings()), photographs)
    assert sum(len(result.detections) for result in expected) >= PHOTOGRAPHS // 2
    for one, other in zip(expected, found, strict=True):
        assert_same(one, other)
