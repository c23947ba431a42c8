"""Everything that can be wrong with a request, over a socket: exact status and code, and no trace of ours."""

from __future__ import annotations

import base64
import codecs
import gzip
import json
import socket
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest

from models.bundle import Bundle
from service.app import create_app
from tests.support.bundles.service_parts import tiny_settings
from tests.support.faults import pictures
from tests.support.servers.live_server import live_server
from weaksam.problem_schemas import PROBLEM_MEDIA_TYPE, Problem

GOOD = pictures.saved(pictures.patch(), "PNG")
Fields = dict[str, Any]


def post(client: httpx.Client, image: bytes, **fields: Any) -> httpx.Response:
    return client.post("/detect", files={"image": image}, data={"tags": "red-bolt", **fields})


BROKEN = {
    "truncated jpeg": (pictures.truncated_jpeg(), 422, "image_broken"),
    "truncated png": (pictures.truncated_png(), 422, "image_broken"),
    "first bytes only": (GOOD[:20], 422, "image_broken"),
    "empty": (b"", 415, "not_an_image"),
    "text": (b"this is no picture", 415, "not_an_image"),
    "pdf": (b"%PDF-1.7\n%\xe2\xe3\xcf\xd3\n", 415, "not_an_image"),
    "svg": (b'<svg xmlns="http://www.w3.org/2000/svg"/>', 415, "not_an_image"),
    "eps, which Ghostscript would run": (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", 415, "not_an_image"),
    "icon, which hides a picture of another size": (pictures.saved(pictures.patch(), "ICO"), 415, "not_an_image"),
    "20000 x 20000 header": (pictures.huge_header(), 413, "image_too_large"),
    "just over the pixel limit": (pictures.saved(pictures.patch(2001, 2000), "PNG"), 413, "image_too_large"),
    "over the byte limit": (b"\xff" * 200_001, 413, "body_too_large"),
}


@pytest.mark.parametrize(("image", "status", "code"), BROKEN.values(), ids=list(BROKEN))
def test_a_picture_that_cannot_be_used_is_refused(
    tiny_service: httpx.Client, image: bytes, status: int, code: str
) -> None:
    expect_problem(post(tiny_service, image), status, code)


# Name, file, size as it must be understood (width, height), whether the red patch is still found.
ODD = {
    "16-bit grey": (pictures.sixteen_bit_grey(), (64, 64), False),
    "cmyk": (pictures.cmyk(), (64, 64), True),
    "palette": (pictures.palette(), (64, 64), True),
    "palette with transparency": (pictures.palette_with_transparency(), (64, 64), True),
    "alpha": (pictures.with_alpha(), (64, 64), True),
    "animated: its first frame": (pictures.animated(), (64, 64), True),
    "exif-rotated": (pictures.exif_rotated(), (32, 64), True),
    "1x1": (pictures.saved(pictures.patch(1, 1), "PNG"), (1, 1), False),
    "extremely wide": (pictures.saved(pictures.patch(4000, 2), "PNG"), (4000, 2), False),
    "extremely high": (pictures.saved(pictures.patch(2, 4000), "PNG"), (2, 4000), False),
    "grey": (pictures.saved(pictures.patch().convert("L"), "JPEG"), (64, 64), False),
    "one bit": (pictures.saved(pictures.patch().convert("1"), "PNG"), (64, 64), False),
    "bmp": (pictures.saved(pictures.patch(), "BMP"), (64, 64), True),
    "tiff": (pictures.saved(pictures.patch(), "TIFF"), (64, 64), True),
    "webp": (pictures.saved(pictures.patch(), "WEBP", lossless=True), (64, 64), True),
}


@pytest.mark.parametrize(("image", "size_wh", "found"), ODD.values(), ids=list(ODD))
def test_an_odd_picture_is_understood(
    tiny_service: httpx.Client, image: bytes, size_wh: tuple[int, int], found: bool
) -> None:
    answer = post(tiny_service, image, min_score=0.5)
    assert answer.status_code == 200, answer.text
    result = answer.json()
    assert (result["image"]["width"], result["image"]["height"]) == size_wh
    assert bool(result["detections"]) == found
    for detection in result["detections"]:
        x0, y0, x1, y1 = detection["box_xyxy"]
        assert 0 <= x0 < x1 <= size_wh[0] / 2
        assert 0 <= y0 < y1 <= size_wh[1] / 2
        assert detection["mask"]["size"] == [size_wh[1], size_wh[0]]


TAGS: dict[str, tuple[Fields, int, str | None]] = {
    "unknown": ({"tags": "gasket"}, 422, "unknown_tag"),
    "unknown among known": ({"tags": ["red-bolt", "gasket"]}, 422, "unknown_tag"),
    "unknown, skipped": ({"tags": "gasket", "unknown_tags": "skip"}, 200, None),
    "empty": ({"tags": ""}, 200, None),
    "blank": ({"tags": [" ", ","]}, 200, None),
    "duplicated": ({"tags": ["red-bolt", "Red Bolt", "REDBOLT"]}, 200, None),
    "500 times the same": ({"tags": ["red-bolt"] * 500}, 200, None),
    "500 different": ({"tags": [f"tag {i}" for i in range(500)]}, 422, "too_many_tags"),
    "500 different in one": ({"tags": ",".join(f"tag {i}" for i in range(500))}, 422, "too_many_tags"),
    "500 different, skipped": (
        {"tags": [f"tag {i}" for i in range(500)], "unknown_tags": "skip"},
        422,
        "too_many_tags",
    ),
    "1001 fields": ({"tags": ["red-bolt"] * 1001}, 422, "invalid_request"),
    "too long": ({"tags": "x" * 201}, 422, "invalid_request"),
}


@pytest.mark.parametrize(("fields", "status", "code"), TAGS.values(), ids=list(TAGS))
def test_tags(tiny_service: httpx.Client, fields: Fields, status: int, code: str | None) -> None:
    answer = post(tiny_service, GOOD, **fields)
    if code is not None:
        expect_problem(answer, status, code)
    else:
        assert answer.status_code == status, answer.text
        assert len(answer.json()["tags"]) == 1


def test_an_unknown_tag_comes_with_the_nearest_labels(tiny_service: httpx.Client) -> None:
    problem = expect_problem(post(tiny_service, GOOD, tags=["red bolts", "green-nut", "wrench"]), 422, "unknown_tag")
    assert problem.unknown is not None
    assert [(row.tag, row.nearest[0]) for row in problem.unknown] == [
        ("red bolts", "red-bolt"),
        ("wrench", "blue-wrench"),
    ]


REQUESTS: dict[str, tuple[str, str, Fields, int, str]] = {
    "wrong option": ("POST", "/detect?min_score=high", {"content": GOOD}, 422, "invalid_request"),
    "unknown option": ("POST", "/detect?score=1", {"content": GOOD}, 422, "invalid_request"),
    "wrong type": (
        "POST",
        "/detect",
        {"content": GOOD, "headers": {"content-type": "text/plain"}},
        415,
        "unsupported_media_type",
    ),
    "no body": ("POST", "/detect", {}, 415, "unsupported_media_type"),
    **{
        f"gzip, to {path}": (
            "POST",
            path,
            {"content": gzip.compress(b"{}"), "headers": {"content-type": kind, "content-encoding": "gzip"}},
            415,
            "unsupported_media_type",
        )
        for path, kind in (
            ("/detect", "image/png"),
            ("/segment", "application/json"),
            ("/cvat/detector", "application/json"),
        )
    },
    "no such page": ("GET", "/detection", {}, 404, "not_found"),
    "wrong method": ("GET", "/detect", {}, 405, "method_not_allowed"),
}


@pytest.mark.parametrize(("method", "path", "sent", "status", "code"), REQUESTS.values(), ids=list(REQUESTS))
def test_requests_that_miss_their_aim(
    tiny_service: httpx.Client, method: str, path: str, sent: Fields, status: int, code: str
) -> None:
    answer = tiny_service.request(method, path, **sent)
    problem = expect_problem(answer, status, code)
    if code == "invalid_request":
        assert problem.errors is not None
        assert problem.errors[0].field in {"min_score", "score"}
    if "gzip" in sent.get("headers", {}).values():
        assert problem.detail == "Content-Encoding is 'gzip': send the body as it is, without this header"
    if code == "method_not_allowed":
        assert answer.headers["allow"] == "POST"


def test_json_may_begin_with_a_byte_order_mark(tiny_service: httpx.Client) -> None:
    document = json.dumps({"image": base64.b64encode(GOOD).decode(), "tags": ["red-bolt"]}).encode()
    answer = tiny_service.post(
        "/detect", content=codecs.BOM_UTF8 + document, headers={"content-type": "application/json"}
    )
    assert answer.status_code == 200, answer.text


def test_a_flood_of_wrong_values_is_answered_with_a_few(tiny_service: httpx.Client) -> None:
    problem = expect_problem(
        tiny_service.post("/detect", json={"image": "", "tags": [1] * 50_000}), 422, "invalid_request"
    )
    assert problem.errors is not None
    assert 1 <= len(problem.errors) <= 20


WRONG_FIELDS: dict[str, tuple[str, Fields, str, str]] = {
    "a box the wrong way round": ("/segment", {"box": [20, 20, 10, 30]}, "box", "x0 must be below x1"),
    "a box beyond the image": ("/segment", {"box": [900, 900, 950, 950]}, "box", "is [900.0, 900.0, 950.0, 950.0]"),
    "a point beyond the image": ("/segment", {"points": [[900, 2, 1]]}, "points[0]", "is [900.0, 2.0, 1]"),
    "a point of two numbers": ("/segment", {"points": [[1, 2, 1], [1, 2]]}, "points[1]", "must have 3 items, not 2"),
    "no prompt": ("/segment", {}, "points", "give a box, or at least one point with label 1"),
    "two images": ("/segment", {"box": [1, 2, 3, 4], "image_sha256": "0" * 64}, "image_sha256", "is sent beside image"),
    "no image": ("/segment", {"box": [1, 2, 3, 4], "image": None}, "image", "is missing: send it, or"),
    "null in a list of tags": ("/detect", {"tags": [None]}, "tags[0]", "must be a text in quotes"),
    "tags in an object": ("/detect", {"tags": {}}, "tags", "must be a list in square brackets"),
    "letters as an image": ("/detect", {"image": "é"}, "image", "is not base64: send the whole file"),
    "a flat box of CVAT": ("/cvat/interactor", {"obj_bbox": [[1, 2], [3, 2]]}, "obj_bbox", "x0 must be below x1"),
    "no points of CVAT": ("/cvat/interactor", {}, "pos_points", "give a box"),
    "a mark of no kind": (
        "/xanylabeling/v1/predict",
        {"model": "weaksam", "params": {"marks": [{"type": "circle"}]}},
        "params.marks[0].type",
        "must be 'point' or 'rectangle'",
    ),
    "a short mark": (
        "/xanylabeling/v1/predict",
        {"model": "weaksam", "params": {"marks": [{"type": "point", "data": [1], "label": 1}]}},
        "params.marks[0].data",
        "must have 2 items, not 1",
    ),
    "a flat rectangle": (
        "/xanylabeling/v1/predict",
        {"model": "weaksam", "params": {"marks": [{"type": "rectangle", "data": [1, 2, 1, 4], "label": 1}]}},
        "params.marks",
        "x0 must be below x1",
    ),
    "a task that is none": ("/labelstudio/predict", {"tasks": [5]}, "tasks[0]", "must be an object in curly brackets"),
}


@pytest.mark.parametrize(("path", "members", "field", "message"), WRONG_FIELDS.values(), ids=list(WRONG_FIELDS))
def test_the_field_at_fault_is_named(
    tiny_service: httpx.Client, path: str, members: Fields, field: str, message: str
) -> None:
    document = {"image": base64.b64encode(GOOD).decode(), **members}
    problem = expect_problem(tiny_service.post(path, json=document), 422, "invalid_request")
    [row] = problem.errors or ()
    assert row.field == field
    assert row.message.startswith(message)
    assert problem.detail.startswith(field)


def chunks(count: int) -> Iterator[bytes]:
    for _ in range(count):
        yield b"\xff" * 10_000


def test_a_body_that_grows_too_large_without_saying_so_is_cut_off(tiny_service: httpx.Client) -> None:
    answer = tiny_service.post("/detect", content=chunks(1000), headers={"content-type": "image/jpeg"})
    expect_problem(answer, 413, "body_too_large")
    form = {"content-type": "multipart/form-data; boundary=x"}
    head = b'--x\r\nContent-Disposition: form-data; name="image"; filename="a"\r\n\r\n'
    answer = tiny_service.post("/detect", content=iter([head, *chunks(1000)]), headers=form)
    expect_problem(answer, 413, "body_too_large")
    assert post(tiny_service, GOOD).status_code == 200


def test_a_client_that_asks_first_need_not_send_a_body_that_is_too_large(tiny_service: httpx.Client) -> None:
    address = urlsplit(str(tiny_service.base_url))
    with socket.create_connection((address.hostname, address.port), timeout=10) as connection:
        connection.sendall(
            b"POST /detect HTTP/1.1\r\nHost: test\r\nContent-Type: image/png\r\n"
            b"Content-Length: 1000000\r\nExpect: 100-continue\r\n\r\n"
        )
        assert connection.recv(4096).startswith(b"HTTP/1.1 413 ")


def test_a_client_that_goes_while_it_sends_does_no_harm(tiny_service: httpx.Client) -> None:
    address = urlsplit(str(tiny_service.base_url))
    for _ in range(5):
        with socket.create_connection((address.hostname, address.port), timeout=10) as connection:
            connection.sendall(
                b"POST /detect HTTP/1.1\r\nHost: test\r\nContent-Type: image/png\r\nContent-Length: 1000\r\n\r\n123"
            )
    assert post(tiny_service, GOOD).status_code == 200
    assert 'code="client_gone",route="/detect",status="499"} 5.0' in tiny_service.get("/metrics").text


def test_a_body_that_does_not_come_is_not_waited_for(tiny_bundle: Bundle) -> None:
    settings = tiny_settings(tiny_bundle.folder, upload_s=0.5)
    with live_server(create_app(settings)) as url:
        address = urlsplit(url)
        with socket.create_connection((address.hostname, address.port), timeout=10) as connection:
            connection.sendall(
                b"POST /detect HTTP/1.1\r\nHost: test\r\nContent-Type: image/png\r\nContent-Length: 1000\r\n\r\n123"
            )
            answer = b"".join(iter(lambda: connection.recv(4096), b""))
        assert answer.startswith(b"HTTP/1.1 408 ")
        assert b'"code": "upload_timeout"' in answer
        assert 'code="upload_timeout",route="/detect",status="408"} 1.0' in httpx.get(f"{url}/metrics").text


def expect_problem(answer: httpx.Response, status: int, code: str) -> Problem:
    """The problem document, which must be exact and hold nothing of the inside."""
    assert answer.headers["content-type"] == PROBLEM_MEDIA_TYPE, answer.text
    problem = Problem.model_validate_json(answer.content)
    assert (answer.status_code, problem.status, problem.code) == (status, status, code), answer.text
    assert problem.request_id == answer.headers["x-request-id"]
    for inside in ("Traceback", "service/", ".py", "onnx"):
        assert inside not in answer.text
    return problem
