"""The pages of the service, over a socket."""

from __future__ import annotations

import base64
import io
import time
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from PIL import Image

from models.bundle import Bundle
from service.app import create_app
from tests.support.bundles.service_parts import (
    TWO_BOLTS_AND_A_NUT,
    WatchedBackend,
    detect_once,
    tiny_settings,
)
from tests.support.bundles.tiny_bundle import encoded, write_tiny_bundle
from tests.support.servers.live_server import live_server
from weaksam.schemas import DetectResult, LabelsResponse

PICTURE = encoded(TWO_BOLTS_AND_A_NUT)
WAYS: dict[str, dict[str, Any]] = {
    "form": {"files": {"image": PICTURE}, "data": {"tags": ["Red Bolt", "blue-wrench"], "explain": "true"}},
    "form, tags in one": {"files": {"image": PICTURE}, "data": {"tags": "Red Bolt, blue-wrench", "explain": "1"}},
    "image and query": {
        "content": PICTURE,
        "headers": {"content-type": "image/png"},
        "params": {"tags": ["Red Bolt", "blue-wrench"], "explain": "true"},
    },
    "json": {
        "json": {"image": base64.b64encode(PICTURE).decode(), "tags": ["Red Bolt", "blue-wrench"], "explain": True}
    },
}


@pytest.mark.parametrize("sent", WAYS.values(), ids=list(WAYS))
def test_every_way_of_sending_gets_what_the_pipeline_gives(
    tiny_service: httpx.Client, tiny_bundle: Bundle, sent: dict[str, Any]
) -> None:
    answer = tiny_service.post("/detect", **sent)
    assert answer.status_code == 200, answer.text
    result = DetectResult.model_validate_json(answer.content)
    same = detect_once(tiny_bundle.folder, TWO_BOLTS_AND_A_NUT, ["Red Bolt", "blue-wrench"], explain=True)
    assert result.model_dump(exclude={"timing_ms"}) == same.model_dump(exclude={"timing_ms"})
    assert [row.count for row in result.tags] == [2, 0]
    assert {"queue", "decode", "select", "masks", "total"} <= set(result.timing_ms)


def test_another_request_for_the_same_picture_encodes_nothing(tiny_service: httpx.Client) -> None:
    image = encoded(TWO_BOLTS_AND_A_NUT[:, ::-1])

    def encodes() -> list[str]:
        lines = tiny_service.get("/metrics").text.splitlines()
        return [line for line in lines if line.startswith("weaksam_encodes_total")]

    tiny_service.post("/detect", files={"image": image}, data={"tags": "red-bolt"})
    before = encodes()
    again = tiny_service.post("/detect", files={"image": image}, data={"tags": "green-nut"})
    assert again.json()["tags"][0]["count"] == 1
    assert encodes() == before
    assert len(before) == 2


def test_an_overlay_is_drawn_for_who_accepts_png(tiny_service: httpx.Client) -> None:
    answer = tiny_service.post("/detect", files={"image": PICTURE}, headers={"accept": "image/png"})
    assert (answer.status_code, answer.headers["content-type"]) == (200, "image/png")
    overlay = np.asarray(Image.open(io.BytesIO(answer.content)))
    assert overlay.shape == TWO_BOLTS_AND_A_NUT.shape
    assert (overlay != TWO_BOLTS_AND_A_NUT).any()


def test_labels_are_listed_with_what_is_applied_to_them(tiny_service: httpx.Client, tiny_bundle: Bundle) -> None:
    answer = LabelsResponse.model_validate_json(tiny_service.get("/labels").content)
    assert [(row.name, row.aliases, row.classifier_threshold, row.min_score) for row in answer.labels] == [
        ("red-bolt", ("rivet",), 0.3, 0.8),
        ("green-nut", (), 0.3, 0.8),
        ("blue-wrench", (), 0.3, 0.8),
    ]
    assert answer.bundle.digest == tiny_bundle.digest


@pytest.mark.parametrize(("detector", "least"), [(True, (0.7, 0.8)), (False, (0.8, 0.8))])
def test_labels_have_the_least_score_of_each_source(tmp_path: Path, detector: bool, least: tuple[float, float]) -> None:
    bundle = write_tiny_bundle(tmp_path, detector=detector)
    with live_server(create_app(tiny_settings(bundle.folder))) as url:
        rows = LabelsResponse.model_validate_json(httpx.get(f"{url}/labels").content).labels
    assert {(row.min_score, row.wsod_min_score) for row in rows} == {least}


def test_the_openapi_document_is_exact(tiny_service: httpx.Client) -> None:
    document = tiny_service.get("/openapi.json").json()
    paths = {"/detect", "/segment", "/labels", "/livez", "/readyz", "/metrics", "/admin/reload"}
    assert set(document["paths"]) == paths
    detect = document["paths"]["/detect"]["post"]
    bodies = detect["requestBody"]["content"]
    assert set(bodies) == {"multipart/form-data", "image/*", "application/octet-stream", "application/json"}
    assert {row["name"] for row in detect["parameters"]} == {
        "tags", "mask_format", "min_fidelity", "zoom", "effort",
        "min_score", "max_detections", "explain", "unknown_tags",
    }  # fmt: skip
    assert set(detect["responses"]) == {"200", "400", "401", "408", "413", "415", "422", "429", "500", "503", "504"}
    assert set(detect["responses"]["422"]["content"]) == {"application/problem+json"}
    assert _dangling(document, document["components"]["schemas"]) == []


def test_the_documentation_is_served(tiny_service: httpx.Client) -> None:
    assert tiny_service.get("/docs").status_code == 200


def test_it_is_alive_at_once_and_ready_after_a_real_inference(tiny_bundle: Bundle) -> None:
    backend = WatchedBackend(tiny_bundle)
    backend.shut()
    with (
        live_server(create_app(tiny_settings(tiny_bundle.folder), backend)) as url,
        httpx.Client(base_url=url) as client,
    ):
        assert client.get("/livez").json() == {"status": "alive"}
        refused = client.get("/readyz")
        assert (refused.status_code, refused.json()["code"], refused.headers["retry-after"]) == (503, "not_ready", "1")
        assert not backend.runs
        backend.release()
        _wait_until_ready(client)
        assert set(backend.runs) == {"cam", "sam_encoder", "sam_decoder", "wsod"}


def test_it_is_never_ready_after_an_inference_that_failed(tiny_bundle: Bundle) -> None:
    backend = WatchedBackend(tiny_bundle)
    backend.failing = True
    with (
        live_server(create_app(tiny_settings(tiny_bundle.folder), backend)) as url,
        httpx.Client(base_url=url) as client,
    ):
        time.sleep(0.2)
        assert client.get("/readyz").status_code == 503
        assert client.get("/livez").status_code == 200


def _wait_until_ready(client: httpx.Client) -> None:
    give_up_s = time.monotonic() + 10
    while client.get("/readyz").status_code != 200:
        assert time.monotonic() < give_up_s, "not ready after 10 s"
        time.sleep(0.01)


def _dangling(node: Any, schemas: dict[str, Any]) -> list[str]:
    """References to schemas that are not there."""
    if isinstance(node, list):
        return [name for child in node for name in _dangling(child, schemas)]
    if not isinstance(node, dict):
        return []
    name = str(node.get("$ref", "")).removeprefix("#/components/schemas/")
    own = [name] if name and name not in schemas else []
    return own + [name for child in node.values() for name in _dangling(child, schemas)]
