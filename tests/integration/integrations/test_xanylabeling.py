"""X-AnyLabeling: the client's own `RemoteServer` against the service, over a socket, on the tiny bundle."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

from models.bundle import Bundle
from service.app import create_app
from service.auth.api_keys import ApiKey, KeyFile, key_sha256, new_key, write_key_file
from tests.support.bundles.service_parts import BLUE, RED, tiny_settings
from tests.support.bundles.tiny_bundle import encoded, picture
from tests.support.labelling_tools.environment import remote_server
from tests.support.labelling_tools.format_readers import even_odd
from tests.support.servers.live_server import live_server
from weaksam.formats.run_lengths import decode_rle

SIZE_HW = (128, 128)
PALE_GREEN = (0, 220, 0)  # its score is 0.86
IMAGE = picture(((32, 32, 64, 64), RED), ((80, 80, 112, 104), BLUE), ((80, 16, 104, 40), PALE_GREEN), size_hw=SIZE_HW)
RED_BOX = (32, 32, 64, 64)
KEY = new_key()


@pytest.fixture(scope="module")
def url(tiny_bundle: Bundle, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address that a user writes into the client, of a service with API keys."""
    path = tmp_path_factory.mktemp("keys") / "keys.json"
    write_key_file(path, KeyFile(keys=(ApiKey(name="user", sha256=key_sha256(KEY)),)))
    with live_server(create_app(tiny_settings(tiny_bundle.folder, api_keys_file=path))) as address:
        yield f"{address}/xanylabeling"


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The image as a file."""
    path = tmp_path_factory.mktemp("images") / "scene.png"
    path.write_bytes(encoded(IMAGE))
    return path


CALLS: dict[str, dict[str, Any]] = {
    "masks": {"task": "masks", "classes": ["red-bolt", "blue-wrench"], "conf": 0.0},
    "boxes": {"task": "boxes", "classes": ["green-nut"]},
    "text": {"task": "masks", "classes": [], "text": "rivet, green-nut."},
    "strict": {"task": "masks", "classes": ["green-nut"], "conf": 0.9},
    "unknown": {"task": "masks", "classes": [], "conf": 0.0, "text": "gasket"},
    "click": {"task": "click", "marks": [{"type": "point", "data": [48, 48], "label": 1}]},
    "box drawn upwards": {"task": "click", "marks": [{"type": "rectangle", "data": [64, 64, 32, 32], "label": 1}]},
    "two boxes": {"task": "click", "marks": [{"type": "rectangle", "data": [1, 1, 9, 9], "label": 1}] * 2},
    "no marks": {"task": "click", "marks": []},
}


@pytest.fixture(scope="module")
def seen(url: str, image: Path) -> dict[str, Any]:
    """What one client gets: the models, and a result for each of `CALLS`."""
    document = remote_server(url, image, list(CALLS.values()), KEY)
    return {"models": document["models"], **dict(zip(CALLS, document["results"], strict=True))}


def mask_of(shape: dict[str, Any]) -> np.ndarray[Any, np.dtype[np.bool_]]:
    return even_odd(np.array(shape["points"], float), SIZE_HW)


def test_the_client_lists_the_classes(seen: dict[str, Any]) -> None:
    [(name, model)] = seen["models"].items()
    assert name == "weaksam"
    assert model["classes"] == ["red-bolt", "green-nut", "blue-wrench"]
    assert [task["id"] for task in model["available_tasks"]] == ["masks", "boxes", "click"]


def test_picked_classes_are_the_tags(seen: dict[str, Any], url: str) -> None:
    """The polygons are the masks of `/detect`, as far as the fidelity that polygons have."""
    result = httpx.post(
        f"{url.removesuffix('/xanylabeling')}/detect",
        json={"image": base64.b64encode(encoded(IMAGE)).decode(), "tags": ["red-bolt", "blue-wrench"]},
        headers={"Authorization": f"Bearer {KEY}"},
    ).json()
    shapes = seen["masks"]["shapes"]
    assert {shape["label"] for shape in shapes} == {"red-bolt", "blue-wrench"}
    assert [(shape["label"], shape["score"]) for shape in shapes] == [
        (found["label"], pytest.approx(found["score"])) for found in result["detections"]
    ]
    for shape, found in zip(shapes, result["detections"], strict=True):
        drawn, true = mask_of(shape), decode_rle(found["mask"])
        assert shape["shape_type"] == "polygon"
        assert (drawn & true).sum() / (drawn | true).sum() >= 0.95
    assert seen["masks"]["messages"] == []


def test_boxes_have_four_corners(seen: dict[str, Any]) -> None:
    [shape] = seen["boxes"]["shapes"]
    assert (shape["label"], shape["shape_type"]) == ("green-nut", "rectangle")
    (x0, y0), (x1, _), (_, y1), (x3, y3) = shape["points"]
    assert (x0, y0, x1, y1) == pytest.approx((80, 16, 104, 40), abs=3)
    assert (x3, y3) == (x0, y1)


def test_the_text_field_holds_tags_too(seen: dict[str, Any]) -> None:
    assert {shape["label"] for shape in seen["text"]["shapes"]} == {"red-bolt", "green-nut"}


def test_the_score_of_the_window_is_the_minimum(seen: dict[str, Any]) -> None:
    assert seen["strict"]["shapes"] == []
    assert "lost at stage score" in seen["strict"]["description"]


@pytest.mark.parametrize("call", ["click", "box drawn upwards"])
def test_marks_give_the_thing_under_them(seen: dict[str, Any], call: str) -> None:
    [shape] = seen[call]["shapes"]
    points = np.array(shape["points"])
    assert shape["label"] == "AUTOLABEL_OBJECT"
    assert (*points.min(axis=0), *points.max(axis=0)) == pytest.approx(RED_BOX, abs=2)
    assert seen[call]["replace"] is False, "what is labelled already stays"


def test_only_a_folder_of_tagged_images_can_run_as_a_batch(seen: dict[str, Any]) -> None:
    assert (seen["masks"]["batch_mode"], seen["click"]["batch_mode"]) == ("default", None)


def test_no_marks_are_no_error(seen: dict[str, Any]) -> None:
    assert (seen["no marks"]["shapes"], seen["no marks"]["messages"]) == ([], [])


@pytest.mark.parametrize("call", ["unknown", "two boxes"])
def test_an_error_has_a_status_that_the_client_shows(seen: dict[str, Any], call: str) -> None:
    [message] = seen[call]["messages"]
    assert "422 Client Error" in message


def test_a_wrong_key_is_refused(url: str, image: Path) -> None:
    document = remote_server(url, image, [{"task": "masks"}], "wrong")
    assert document["models"] == {}
    assert httpx.get(f"{url}/v1/models", headers={"Token": "wrong"}).status_code == 401
    assert httpx.get(f"{url.removesuffix('/xanylabeling')}/labels", headers={"Token": KEY}).status_code == 401


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        pytest.param({"model": "sam3"}, "choose 'weaksam'", id="another model"),
        pytest.param({"image": "data:image/png,plain"}, "data URI without base64", id="plain data"),
        pytest.param({"image": "bm90IGFuIGltYWdl"}, "", id="no image"),
        pytest.param(
            {"params": {"marks": [{"type": "rectangle", "data": [1, 1, 9, 9], "label": 0}]}}, "label", id="negative box"
        ),
        pytest.param({"params": {"current_task": "track"}}, "current_task", id="unknown task"),
        pytest.param({"params": {"conf_threshold": 2}}, "conf_threshold", id="score above 1"),
    ],
)
def test_bad_input_is_a_client_error(url: str, changes: dict[str, Any], sentence: str) -> None:
    body = {"model": "weaksam", "image": base64.b64encode(encoded(IMAGE)).decode(), "params": {}} | changes
    response = httpx.post(f"{url}/v1/predict", json=body, headers={"Token": KEY})
    assert response.status_code in (415, 422)
    assert sentence in response.json()["detail"]
