"""Limits on requests, and what is kept between them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from models.bundle import Bundle
from tests.support.bundles.service_parts import (
    PATIENCE_S,
    RED,
    TWO_BOLTS_AND_A_NUT,
    WatchedBackend,
    decoded,
    metric,
    tiny_pipeline,
)
from tests.support.bundles.tiny_bundle import picture
from tests.support.faults import pictures
from tests.unit.service.setting_effects.calls import PICTURE, Check, client_of, post, statuses_of
from weaksam.segment_schemas import SegmentParameters


async def check_workers(bundle: Bundle, _: pytest.MonkeyPatch) -> None:
    assert await statuses_of(bundle, 4, workers=1, queue_size=1) == [200, 200, 503, 503]
    assert await statuses_of(bundle, 4, workers=2, queue_size=1) == [200, 200, 200, 503]


async def check_queue_size(bundle: Bundle, _: pytest.MonkeyPatch) -> None:
    assert await statuses_of(bundle, 4, workers=1, queue_size=0) == [200, 503, 503, 503]
    assert await statuses_of(bundle, 4, workers=1, queue_size=2) == [200, 200, 200, 503]


async def check_deadline_s(bundle: Bundle, _: pytest.MonkeyPatch) -> None:
    backend = WatchedBackend(bundle)
    async with client_of(bundle, backend, deadline_s=0.05) as (client, _pipeline):
        backend.shut()
        assert (await post(client)).status_code == 504
        backend.release()
    assert await statuses_of(bundle, deadline_s=PATIENCE_S) == [200]


async def check_upload_s(bundle: Bundle, _: pytest.MonkeyPatch) -> None:
    async def slow_body() -> AsyncIterator[bytes]:
        yield PICTURE[:100]
        await asyncio.sleep(0.2)
        yield PICTURE[100:]

    statuses = []
    for upload_s in (0.05, PATIENCE_S):
        async with client_of(bundle, WatchedBackend(bundle), upload_s=upload_s) as (client, _pipeline):
            answer = await client.post("/detect", content=slow_body(), headers={"content-type": "image/png"})
            statuses.append(answer.status_code)
    assert statuses == [408, 200]


async def check_upload_bytes(bundle: Bundle, _: pytest.MonkeyPatch) -> None:
    for upload_bytes, statuses in ((len(PICTURE), [200, 503]), (2 * len(PICTURE), [200, 200])):
        assert await statuses_of(bundle, 2, workers=2, upload_bytes=upload_bytes) == statuses


async def check_max_body_bytes(bundle: Bundle, _: pytest.MonkeyPatch) -> None:
    assert await statuses_of(bundle, max_body_bytes=len(PICTURE) - 1) == [413]
    assert await statuses_of(bundle, max_body_bytes=len(PICTURE)) == [200]


async def check_max_pixels(bundle: Bundle, _: pytest.MonkeyPatch) -> None:
    assert await statuses_of(bundle, max_pixels=64 * 64 - 1) == [413]
    assert await statuses_of(bundle, max_pixels=64 * 64) == [200]


async def check_max_declared_pixels(bundle: Bundle, _: pytest.MonkeyPatch) -> None:
    large = pictures.saved(pictures.patch(200, 100), "JPEG")
    for max_declared_pixels, status in ((200 * 100 - 1, 413), (200 * 100, 200)):
        changes: dict[str, Any] = {"max_pixels": 6000, "max_declared_pixels": max_declared_pixels}
        async with client_of(bundle, **changes) as (client, _pipeline):
            response = await client.post("/detect", files={"image": large})
            assert response.status_code == status, response.text


async def check_max_tags(bundle: Bundle, _: pytest.MonkeyPatch) -> None:
    assert await statuses_of(bundle, tags="red-bolt,green-nut", max_tags=1) == [422]
    assert await statuses_of(bundle, tags="red-bolt,green-nut", max_tags=2) == [200]


async def check_max_detections(bundle: Bundle, _: pytest.MonkeyPatch) -> None:
    for most in (1, 2):
        async with client_of(bundle, max_detections=most) as (client, _pipeline):
            assert len((await post(client)).json()["detections"]) == most


async def check_zoom(bundle: Bundle, _: pytest.MonkeyPatch) -> None:
    small_bolt = decoded(picture(((128, 128, 160, 160), RED), size_hw=(512, 512)))
    for zoom, encodes in ((False, 1), (True, 2)):
        pipeline = tiny_pipeline(bundle.folder, zoom=zoom)
        await pipeline.segment(small_bolt, SegmentParameters(points=((144, 144, 1),)))
        assert metric(pipeline, "weaksam_encodes_total", model="sam_encoder") == encodes
        await pipeline.backend.aclose()


async def check_cache_bytes(bundle: Bundle, _: pytest.MonkeyPatch) -> None:
    for cache_bytes, encodes in ((0, 2), (2**20, 1)):
        pipeline = tiny_pipeline(bundle.folder, cache_bytes=cache_bytes)
        for _request in range(2):
            await pipeline.detect(decoded(TWO_BOLTS_AND_A_NUT))
        assert metric(pipeline, "weaksam_encodes_total", model="sam_encoder") == encodes
        await pipeline.backend.aclose()


CHECKS: dict[str, Check] = {
    "cache_bytes": check_cache_bytes,
    "deadline_s": check_deadline_s,
    "max_body_bytes": check_max_body_bytes,
    "max_declared_pixels": check_max_declared_pixels,
    "max_detections": check_max_detections,
    "max_pixels": check_max_pixels,
    "max_tags": check_max_tags,
    "queue_size": check_queue_size,
    "upload_bytes": check_upload_bytes,
    "upload_s": check_upload_s,
    "workers": check_workers,
    "zoom": check_zoom,
}
