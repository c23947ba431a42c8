"""What browsers, form libraries and proxies send, over a socket."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from models.bundle import Bundle
from models.labels import Label, LabelSet
from service.app import create_app
from service.auth.api_keys import ApiKey, KeyFile, key_sha256, new_key, write_key_file
from tests.support.bundles.service_parts import tiny_settings
from tests.support.bundles.tiny_bundle import write_tiny_bundle
from tests.support.faults import pictures
from tests.support.servers.live_server import live_server
from weaksam import Client

GOOD = pictures.saved(pictures.patch(), "PNG")
OPTIONS = ("mask_format", "min_fidelity", "min_score", "max_detections", "explain", "unknown_tags")


def post(client: httpx.Client, **fields: object) -> httpx.Response:
    return client.post("/detect", files={"image": GOOD}, data=fields)


@pytest.mark.parametrize("option", OPTIONS)
def test_an_empty_field_means_the_default(tiny_service: httpx.Client, option: str) -> None:
    given = post(tiny_service, tags="red-bolt").json()
    for response in (
        post(tiny_service, tags="red-bolt", **{option: ""}),
        tiny_service.post(f"/detect?tags=red-bolt&{option}=", files={"image": GOOD}),
    ):
        assert response.status_code == 200, response.text
        assert response.json()["detections"] == given["detections"]


def test_a_form_of_nothing_but_empty_fields_is_as_good_as_none(tiny_service: httpx.Client) -> None:
    response = post(tiny_service, tags="", **dict.fromkeys(OPTIONS, ""))
    assert response.status_code == 200, response.text
    assert response.json()["tags"][0]["predicted"]


TAGS = {
    "repeated": {"tags": ["red-bolt", "green-nut"]},
    "between commas": {"tags": "red-bolt,green-nut"},
    "a json list": {"tags": '["red-bolt", "green-nut"]'},
    "brackets": {"tags[]": ["red-bolt", "green-nut"]},
}


@pytest.mark.parametrize("fields", TAGS.values(), ids=list(TAGS))
def test_tags_in_a_form(tiny_service: httpx.Client, fields: dict[str, object]) -> None:
    response = post(tiny_service, **fields)
    assert response.status_code == 200, response.text
    assert [row["label"] for row in response.json()["tags"]] == ["red-bolt", "green-nut"]


def test_a_list_that_is_no_json_is_named(tiny_service: httpx.Client) -> None:
    response = post(tiny_service, tags='["wire')
    assert response.status_code == 422
    assert 'send ["wire", "fuel cap"]' in response.json()["detail"]


DISPOSITION = b'Content-Disposition: form-data; name="image"'
IMAGE_PARTS = {
    "the name in filename* alone": (DISPOSITION + b"; filename*=UTF-8''caf%C3%A9.png", b"Content-Type: image/png"),
    "no name, but a type": (DISPOSITION, b"Content-Type: image/png"),
    "a name and no type": (DISPOSITION + b'; filename="a.png"',),
    "names without quotes": (b"Content-Disposition: form-data; name=image; filename=a.png; filename*=utf-8''a.png",),
}


@pytest.mark.parametrize("headers", IMAGE_PARTS.values(), ids=list(IMAGE_PARTS))
def test_an_image_in_a_form(tiny_service: httpx.Client, headers: tuple[bytes, ...]) -> None:
    body = b"\r\n".join((b"--here", *headers, b"", GOOD, b"--here--", b""))
    response = tiny_service.post(
        "/detect", content=body, headers={"Content-Type": "multipart/form-data; boundary=here"}
    )
    assert response.status_code == 200, response.text
    assert response.json()["image"]["width"] == pictures.patch().width


def test_options_that_a_page_sends_as_files(tiny_service: httpx.Client) -> None:
    """JavaScript's FormData makes a file of each Blob."""
    blob = ("blob", b"[[10, 10, 1]]", "application/json")
    response = tiny_service.post("/segment", files={"points": blob, "image": GOOD})
    assert response.status_code == 200, response.text
    tags = ("blob", b'["red-bolt"]', "application/json")
    response = tiny_service.post("/detect", files={"image": GOOD, "tags": tags})
    assert [row["label"] for row in response.json()["tags"]] == ["red-bolt"]


LONG = {"image": "was sent as text", "tags": "has more than"}


@pytest.mark.parametrize(("field", "told"), LONG.items(), ids=list(LONG))
def test_a_field_that_is_too_long_is_named(tiny_bundle: Bundle, field: str, told: str) -> None:
    with live_server(create_app(tiny_settings(tiny_bundle.folder))) as url:
        response = httpx.post(f"{url}/detect", data={field: "a" * 1_100_000}, files={"other": b""})
    assert response.status_code == 422
    assert [(row["field"], told in row["message"]) for row in response.json()["errors"]] == [(field, True)]


@pytest.fixture(scope="module")
def comma_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A service with a class whose name holds a comma."""
    labels = LabelSet((Label("bolt, red"), Label("green-nut"), Label("blue-wrench")))
    bundle = write_tiny_bundle(tmp_path_factory.mktemp("comma"), labels=labels)
    with live_server(create_app(tiny_settings(bundle.folder))) as url:
        yield url


def test_a_class_whose_name_holds_a_comma_can_be_requested(comma_url: str) -> None:
    form = httpx.post(f"{comma_url}/detect", files={"image": GOOD}, data={"tags": '["bolt, red"]'}).json()
    assert [(row["label"], row["status"]) for row in form["tags"]] == [("bolt, red", "found")]
    with Client(comma_url) as client:
        result = client.detect(GOOD, ["bolt, red", "green-nut"])
    assert [row.label for row in result.tags] == ["bolt, red", "green-nut"]


READABLE = ["/livez", "/readyz", "/labels", "/metrics", "/docs", "/openapi.json"]
OF_TOOLS = ["/labelstudio/health", "/xanylabeling/v1/models"]


@pytest.mark.parametrize("path", READABLE + OF_TOOLS)
def test_head_returns_what_get_does_without_a_body(tiny_service: httpx.Client, path: str) -> None:
    got, head = tiny_service.get(path), tiny_service.head(path)
    assert (head.status_code, head.content) == (got.status_code, b"")
    assert head.headers["content-type"] == got.headers["content-type"]
    assert set(tiny_service.delete(path).headers["allow"].split(", ")) == {"GET", "HEAD"}


def test_a_post_is_never_redirected(tiny_service: httpx.Client) -> None:
    response = tiny_service.post("/detect/", files={"image": GOOD}, data={"tags": "red-bolt"})
    assert response.status_code == 200, response.text
    assert tiny_service.post("/labelstudio/webhook/").status_code == 201
    assert tiny_service.get("/labels/").status_code == 404


def test_the_reference_needs_nothing_of_another_server(tiny_service: httpx.Client) -> None:
    page = tiny_service.get("/docs").text
    linked = re.findall(r"""(?:src|href|url)(?:=|: )["']([^"']+)["']""", page)
    assert len(linked) == 4
    for address in linked:
        assert "//" not in address, "a relative address works behind any prefix"
        assert tiny_service.get(f"/{address}").status_code == 200


def test_without_keys_the_reference_asks_for_none(tiny_service: httpx.Client) -> None:
    document = tiny_service.get("/openapi.json").json()
    assert "securitySchemes" not in document["components"]
    assert "security" not in document


def test_with_keys_the_reference_is_open_and_has_a_place_for_the_key(tiny_bundle: Bundle, tmp_path: Path) -> None:
    key = new_key()
    write_key_file(tmp_path / "keys.json", KeyFile(keys=(ApiKey(name="a", sha256=key_sha256(key)),)))
    settings = tiny_settings(tiny_bundle.folder, api_keys_file=tmp_path / "keys.json")
    with live_server(create_app(settings)) as url, httpx.Client(base_url=url) as client:
        assert client.get("/docs").status_code == client.get("/docs/swagger-ui.css").status_code == 200
        assert client.get("/docs/redoc.standalone.js").status_code == client.get("/labels").status_code == 401
        document = client.get("/openapi.json").json()
    assert document["components"]["securitySchemes"] == {"ApiKey": {"type": "http", "scheme": "bearer"}}
    assert document["security"] == [{"ApiKey": []}]
    assert document["paths"]["/livez"]["get"]["security"] == []
    assert "security" not in document["paths"]["/detect"]["post"]


@pytest.mark.parametrize("kept", ["", "/weaksam"], ids=["prefix removed by the proxy", "prefix kept"])
def test_behind_a_prefix(tiny_bundle: Bundle, tmp_path: Path, kept: str) -> None:
    key = new_key()
    write_key_file(tmp_path / "keys.json", KeyFile(keys=(ApiKey(name="a", sha256=key_sha256(key)),)))
    settings = tiny_settings(tiny_bundle.folder, root_path="/weaksam", api_keys_file=tmp_path / "keys.json")
    with live_server(create_app(settings)) as url, httpx.Client(base_url=f"{url}{kept}") as client:
        assert client.get("/livez").status_code == 200, "the probes stay open"
        assert client.get("/docs/swagger-ui.css").status_code == 200
        assert client.get("/openapi.json").json()["servers"] == [{"url": "/weaksam"}]
        assert client.get("/labels").status_code == 401
        authorized = {"Authorization": f"Bearer {key}"}
        assert client.post("/detect", files={"image": GOOD}, headers=authorized).status_code == 200
