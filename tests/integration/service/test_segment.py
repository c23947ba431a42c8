"""POST /segment: points and boxes to masks, over HTTP on the tiny bundle."""

from __future__ import annotations

import base64
import io
import json
import re
from pathlib import Path
from typing import Any

import httpx
import pytest
from PIL import Image

from models.bundle import Bundle
from models.masks.drawing import mask_box
from service.app import create_app
from tests.support.bundles.service_parts import BLUE, RED, tiny_settings
from tests.support.bundles.tiny_bundle import encoded, picture
from tests.support.faults import pictures
from tests.support.servers.live_server import live_server
from weaksam import Client, RequestRefused
from weaksam.formats.run_lengths import decode_rle
from weaksam.mask_schemas import RleMask
from weaksam.segment_schemas import JsonSegmentRequest, SegmentResult

# Twice as wide as the segmenter's input, so that prompts and masks are scaled.
IMAGE = picture(((32, 32, 64, 64), RED), ((80, 80, 112, 104), BLUE), size_hw=(128, 128))
RED_BOX, BLUE_BOX = [32, 32, 64, 64], [80, 80, 112, 104]


def post(client: httpx.Client, **fields: Any) -> httpx.Response:
    texts = {name: value if isinstance(value, str) else json.dumps(value) for name, value in fields.items()}
    return client.post("/segment", data=texts, files={"image": ("a.png", encoded(IMAGE), "image/png")})


def test_a_click_gives_the_thing_under_it(tiny_service: httpx.Client) -> None:
    for (x, y), box in (((48, 48), RED_BOX), ((96, 90), BLUE_BOX)):
        result = SegmentResult.model_validate((post(tiny_service, points=[[x, y, 1]])).json())
        first = result.masks[0]
        assert [mask.predicted_iou for mask in result.masks] == sorted(
            (mask.predicted_iou for mask in result.masks), reverse=True
        )
        assert first.box_xyxy == pytest.approx(box, abs=2)
        assert isinstance(first.mask, RleMask)
        mask_hw = decode_rle(first.mask.rle())
        assert mask_box(mask_hw).tolist() == list(first.box_xyxy or ())


def test_a_box_and_points_together(tiny_service: httpx.Client) -> None:
    response = post(tiny_service, points=[[48, 48, 1], [70, 70, 0]], box=RED_BOX, mask_format="none")
    assert response.status_code == 200, response.text
    masks = response.json()["masks"]
    assert [mask["mask"] for mask in masks] == [None] * 3
    assert masks[0]["box_xyxy"] == pytest.approx(RED_BOX, abs=2)


def test_the_next_click_names_the_image_and_encodes_nothing(tiny_service: httpx.Client) -> None:
    def encodes() -> list[str]:
        lines = tiny_service.get("/metrics").text.splitlines()
        return [line for line in lines if line.startswith("weaksam_encodes_total")]

    sha256 = (post(tiny_service, points=[[48, 48, 1]])).json()["image"]["sha256"]
    before = encodes()
    again = tiny_service.post("/segment", json={"image_sha256": sha256, "points": [[96, 90, 1]]})
    assert again.status_code == 200, again.text
    assert again.json()["image"] == {"width": 128, "height": 128, "sha256": sha256}
    assert again.json()["masks"][0]["box_xyxy"] == pytest.approx(BLUE_BOX, abs=2)
    assert encodes() == before, "no graph but the decoder ran"


def test_an_image_that_detect_has_seen_can_be_clicked(tiny_service: httpx.Client) -> None:
    files = {"image": ("a.png", encoded(IMAGE), "image/png")}
    sha256 = (tiny_service.post("/detect", data={"tags": "red-bolt"}, files=files)).json()["image"]["sha256"]
    assert (tiny_service.post("/segment", json={"image_sha256": sha256, "box": RED_BOX})).status_code == 200


@pytest.mark.parametrize("size_px", [300, 32])
def test_an_image_that_detect_has_zoomed_can_be_clicked_with_zoom(tiny_service: httpx.Client, size_px: int) -> None:
    image = encoded(picture(((100, 100, 100 + size_px, 100 + size_px), RED), size_hw=(512, 512)))
    files, data = {"image": ("a.png", image, "image/png")}, {"tags": "red-bolt", "zoom": "true"}
    sha256 = tiny_service.post("/detect", data=data, files=files).json()["image"]["sha256"]
    click = {"image_sha256": sha256, "points": [[110, 110, 1]], "zoom": True}
    assert tiny_service.post("/segment", json=click).status_code == 200


def test_a_drawing_at_a_reduced_scale_leaves_clicks_in_pixels_of_the_file(tiny_bundle: Bundle) -> None:
    image = pictures.saved(pictures.patch(256, 256), "JPEG")
    settings = tiny_settings(tiny_bundle.folder, max_pixels=128 * 128, max_declared_pixels=256 * 256)
    with live_server(create_app(settings)) as url, httpx.Client(base_url=url) as client:
        files = {"image": ("a.jpg", image, "image/jpeg")}
        drawn = client.post("/detect", data={"tags": "red-bolt"}, files=files, headers={"Accept": "image/png"})
        assert Image.open(io.BytesIO(drawn.content)).size == (128, 128)
        sha256 = client.post("/detect", data={"tags": "red-bolt"}, files=files).json()["image"]["sha256"]
        clicked = client.post("/segment", json={"image_sha256": sha256, "points": [[64, 64, 1]]}).json()
    assert (clicked["image"]["width"], clicked["image"]["height"]) == (256, 256)
    assert clicked["masks"][0]["box_xyxy"] == pytest.approx([32, 32, 96, 96], abs=4)


def test_the_client_asks_for_zoom(tiny_service: httpx.Client) -> None:
    def encodes() -> int:
        text = tiny_service.get("/metrics").text
        return int(re.findall(r'encodes_total{model="sam_encoder"} (\d+)', text)[0])

    image = encoded(picture(((128, 128, 160, 160), RED), size_hw=(512, 512)))
    with Client(str(tiny_service.base_url)) as client:
        before = encodes()
        result = client.segment(image, points=[(144, 144, 1)], zoom=True)
        assert encodes() - before == 2
        client.segment(result.image.sha256, points=[(140, 140, 1)], zoom=True)
        client.segment(result.image.sha256, box=(120, 120, 170, 170), zoom=False)
        assert encodes() - before == 2


def test_json_with_the_image_in_base64(tiny_service: httpx.Client) -> None:
    body = {"image": base64.b64encode(encoded(IMAGE)).decode(), "box": BLUE_BOX, "mask_format": "polygon"}
    response = tiny_service.post("/segment", json=body)
    assert response.status_code == 200, response.text
    assert response.json()["masks"][0]["mask"]["fidelity_iou"] >= 0.98


def test_options_in_the_query_count_unless_the_body_says_otherwise(tiny_service: httpx.Client) -> None:
    files, data = {"image": ("a.png", encoded(IMAGE), "image/png")}, {"box": json.dumps(RED_BOX)}
    polygon = tiny_service.post("/segment?mask_format=polygon", files=files, data=data)
    assert "polygons" in polygon.json()["masks"][0]["mask"]
    none = tiny_service.post("/segment?mask_format=polygon", files=files, data=data | {"mask_format": "none"})
    assert none.json()["masks"][0]["mask"] is None


@pytest.mark.parametrize(
    ("query", "sentence"),
    [
        pytest.param("foo=1", "foo is not known here", id="unknown option"),
        pytest.param("mask_format=polygons", "mask_format is 'polygons'", id="unknown format"),
        pytest.param("zoom=true&zoom=false", 'zoom is ["true", "false"]: send it once', id="twice"),
    ],
)
def test_a_wrong_query_is_refused(tiny_service: httpx.Client, query: str, sentence: str) -> None:
    files, data = {"image": ("a.png", encoded(IMAGE), "image/png")}, {"box": json.dumps(RED_BOX)}
    response = tiny_service.post(f"/segment?{query}", files=files, data=data)
    assert (response.status_code, response.json()["code"]) == (422, "invalid_request")
    assert sentence in response.json()["detail"]


def test_an_image_without_a_prompt_is_told_what_is_read_here(tiny_service: httpx.Client) -> None:
    response = tiny_service.post("/segment", content=encoded(IMAGE), headers={"content-type": "image/png"})
    problem = response.json()
    assert (response.status_code, problem["code"]) == (415, "unsupported_media_type")
    assert "send multipart/form-data with a file `image`, or application/json" in problem["detail"]
    assert "image/" not in problem["remedy"]


def test_null_in_json_means_that_a_member_was_not_sent(tiny_service: httpx.Client) -> None:
    nothing = dict.fromkeys(name for name in JsonSegmentRequest.model_fields if name != "box")
    sent = {"image": base64.b64encode(encoded(IMAGE)).decode(), "box": RED_BOX}
    first = tiny_service.post("/segment", json=nothing | sent)
    assert first.status_code == 200, first.text
    named = {"image_sha256": first.json()["image"]["sha256"], "box": RED_BOX}
    again = tiny_service.post("/segment", json=nothing | named)
    assert again.status_code == 200, again.text
    neither = tiny_service.post("/segment", json=nothing | {"box": RED_BOX})
    assert (neither.status_code, "image is missing: send it, or image_sha256" in neither.text) == (422, True)


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        pytest.param({}, "give a box, or at least one point with label 1", id="no prompt"),
        pytest.param({"points": [[1, 2, 0]]}, "at least one point with label 1", id="negative points alone"),
        pytest.param({"points": "48,48"}, "points is '48,48', which is not JSON: write points like", id="no JSON"),
        pytest.param({"points": "[" * 50_000}, "points is not JSON: write points like", id="points too deep"),
        pytest.param({"box": "[" * 50_000}, "box is not JSON: write points like", id="a box too deep"),
        pytest.param({"points": [[1, 2, 3]]}, "0 or 1", id="label"),
        pytest.param({"points": [[1, 2, True]]}, "must be 0 or 1", id="a label that is true"),
        pytest.param({"points": [[4e188, 2, 1]]}, "must be at most 1000000", id="no pixel of any image"),
        pytest.param({"points": [[1, 2, 1]] * 101}, "at most 100", id="too many"),
        pytest.param({"box": [9, 9, 3, 12]}, "x0 must be below x1", id="box turned round"),
        pytest.param({"box": [1, 2, 3]}, "box", id="three numbers"),
        pytest.param({"box": RED_BOX, "image_sha256": "0" * 64}, "send one of the two", id="image twice"),
        pytest.param({"box": RED_BOX, "colour": "red"}, "colour", id="unknown field"),
    ],
)
def test_a_wrong_prompt_is_named(tiny_service: httpx.Client, fields: dict[str, Any], sentence: str) -> None:
    response = post(tiny_service, **fields)
    assert response.status_code == 422
    assert response.json()["code"] == "invalid_request"
    assert sentence in response.text


def test_an_image_that_nobody_sent_is_not_cached(tiny_service: httpx.Client) -> None:
    response = tiny_service.post("/segment", json={"image_sha256": "0" * 64, "box": RED_BOX})
    assert (response.status_code, response.json()["code"]) == (404, "image_not_cached")
    assert "send the image itself" in response.json()["detail"]


def test_a_request_without_an_image_says_so(tiny_service: httpx.Client) -> None:
    response = tiny_service.post("/segment", json={"box": RED_BOX})
    assert (response.status_code, response.json()["code"]) == (422, "invalid_request")


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        (
            {"points": [[48, 48, 1], [-500, 9000, 1]]},
            "points[1] is [-500.0, 9000.0, 1], outside of the image, 128 x 128",
        ),
        ({"box": [130, 10, 190, 60]}, "box is [130.0, 10.0, 190.0, 60.0], outside of the image, 128 x 128 pixels"),
    ],
    ids=["point", "box"],
)
def test_a_prompt_outside_of_the_image_is_named(
    tiny_service: httpx.Client, fields: dict[str, Any], sentence: str
) -> None:
    response = post(tiny_service, **fields)
    assert (response.status_code, response.json()["code"]) == (422, "invalid_request")
    assert sentence in response.json()["detail"]


@pytest.mark.parametrize(
    ("fields", "same_as"),
    [
        ({"box": [-900, -900, 64, 64]}, {"box": [0, 0, 64, 64]}),
        ({"points": [[48, 48, 1], [-500, 60, 0]]}, {"points": [[48, 48, 1]]}),
    ],
    ids=["box", "point-off-the-object"],
)
def test_what_lies_outside_of_the_image_says_nothing(
    tiny_service: httpx.Client, fields: dict[str, Any], same_as: dict[str, Any]
) -> None:
    assert post(tiny_service, **fields).json()["masks"] == post(tiny_service, **same_as).json()["masks"]


def test_a_click_on_the_edge_gets_a_response(tiny_service: httpx.Client) -> None:
    assert post(tiny_service, points=[[128.4, 0, 1]]).status_code == 200


def test_the_client_clicks_by_file_and_then_by_digest(tiny_service: httpx.Client, tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(encoded(IMAGE))
    with Client(str(tiny_service.base_url)) as client:
        first = client.segment(path, points=[(48, 48, 1)])
        second = client.segment(first.image.sha256, points=[(96, 90, 1)], box=(80, 80, 112, 104))
        assert first.masks[0].box_xyxy == pytest.approx(RED_BOX, abs=2)
        assert second.masks[0].box_xyxy == pytest.approx(BLUE_BOX, abs=2)
        with pytest.raises(RequestRefused, match="send the image itself") as refused:
            client.segment("0" * 64, points=[(48, 48, 1)])
        assert refused.value.code == "image_not_cached"
