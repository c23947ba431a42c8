"""The ML backend of Label Studio against hosts, tasks and callers that misbehave."""

from __future__ import annotations

import base64
import logging
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import FastAPI

from models.bundle import Bundle
from service.app import create_app
from service.auth.api_keys import ApiKey, KeyFile, key_sha256, new_key, write_key_file
from service.errors import BackendFailure
from tests.support.bundles.service_parts import TWO_BOLTS_AND_A_NUT, WatchedBackend, tiny_settings
from tests.support.bundles.tiny_bundle import encoded
from tests.support.servers.image_host import ImageHost
from tests.support.servers.live_server import live_server

PICTURE = encoded(TWO_BOLTS_AND_A_NUT)
TOKEN = "0123456789abcdef0123456789abcdef01234567"
CREATOR_TOKEN = "fedcba9876543210fedcba9876543210fedcba98"
PASSWORD = "pass-word-of-the-project"
LABELS = "".join(f'<Label value="{name}"/>' for name in ("rivet", "Green Nut", "rock"))
CONFIG = (
    '<View><Image name="image" value="$image"/><Choices name="tags" toName="image"><Choice value="rivet"/></Choices>'
    f'<RectangleLabels name="box" toName="image">{LABELS}</RectangleLabels></View>'
)
MAX_BYTES = 200_000
JSON = {"Content-Type": "application/json"}


@dataclass(frozen=True)
class Configured:
    """The service and the one host that it is configured for, which stands for Label Studio."""

    client: httpx.Client
    host: ImageHost
    host_url: str


@pytest.fixture(scope="module")
def configured(tiny_bundle: Bundle, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Configured]:
    token_path = tmp_path_factory.mktemp("label_studio") / "token"
    token_path.write_text(f"{TOKEN}\n")
    host = ImageHost(PICTURE, f"Token {TOKEN}")
    with live_server(host.app()) as host_url:
        settings = tiny_settings(
            tiny_bundle.folder,
            label_studio_url=host_url,
            label_studio_token_file=token_path,
            image_fetch_s=0.5,
            max_body_bytes=MAX_BYTES,
        )
        with backend_of(create_app(settings)) as client:
            yield Configured(client, host, host_url)


@pytest.fixture
def host(configured: Configured) -> ImageHost:
    configured.host.seen.clear()
    return configured.host


@pytest.fixture
def client(configured: Configured) -> httpx.Client:
    return configured.client


@contextmanager
def backend_of(app: FastAPI) -> Iterator[httpx.Client]:
    """Serve an application; yields a client of its ML backend."""
    with live_server(app) as url, httpx.Client(base_url=f"{url}/labelstudio", timeout=60) as client:
        yield client


def task(image: object, **more: Any) -> dict[str, Any]:
    return {"id": 1, "data": {"image": image, "tags": ["rivet"]}, **more}


def predict(client: httpx.Client, *tasks: dict[str, Any], config: str = CONFIG, **params: Any) -> list[Any]:
    params = {"login": "someone", "password": PASSWORD, **params}
    body = {"tasks": tasks, "project": "1.1", "label_config": config, "params": params}
    response = client.post("/predict", json=body)
    assert response.status_code == 200, response.text
    entries: list[Any] = response.json()["results"]
    return entries


def test_each_task_has_an_entry_and_a_failed_one_says_why(
    client: httpx.Client, caplog: pytest.LogCaptureFixture
) -> None:
    good = "/data/upload/image.png"
    version = client.post("/setup", json={"schema": CONFIG}).json()["model_version"]
    with caplog.at_level(logging.INFO):
        entries = predict(
            client,
            task(good),
            task("http://elsewhere.example/a.png"),
            task("/text"),
            task("/nothing.png"),
            task(None),
            {"id": None},
            task(good),
        )
    assert [len(entry["result"]) for entry in entries] == [2, 0, 0, 0, 0, 0, 2]
    codes = [entry["model_version"].removeprefix(version) for entry in entries]
    assert codes == [
        "",
        " failed: image_url_refused",
        " failed: not_an_image",
        " failed: image_unreachable",
        " failed: image_url_refused",
        " failed: image_url_refused",
        "",
    ]
    assert "WEAKSAM_IMAGE_HOSTS" in entries[1]["error"]
    assert [getattr(record, "fields", {}).get("code") for record in caplog.records].count("image_url_refused") == 3


def test_odd_types_are_refused_and_leave_no_trace_in_the_log(
    client: httpx.Client, caplog: pytest.LogCaptureFixture
) -> None:
    choice = {"type": "choices", "from_name": ["tags"], "value": {"choices": ["rivet"]}}
    odd_task = task("/data/upload/image.png", annotations=[{"result": [choice]}])
    click = {"type": "keypointlabels", "value": {"x": 1, "y": 1, "keypointlabels": ["rivet"]}, "original_height": 64}
    huge = [click | {"original_width": 10**400}]
    entries = [*predict(client, odd_task), *predict(client, task("/data/upload/image.png"), context={"result": huge})]
    assert [entry["model_version"].partition(" failed: ")[2] for entry in entries] == ["invalid_request"] * 2
    assert "from_name" in entries[0]["error"]
    assert "original_width" in entries[1]["error"]
    assert [record for record in caplog.records if record.exc_info] == []


def test_regions_carry_the_projects_spelling_and_the_tagged_things_alone(client: httpx.Client) -> None:
    [entry] = predict(client, task("/data/upload/image.png"))
    assert [region["value"]["rectanglelabels"] for region in entry["result"]] == [["rivet"], ["rivet"]]
    [entry] = predict(client, {"id": 1, "data": {"image": "/data/upload/image.png", "tags": "green nut, rock"}})
    [region] = entry["result"]
    assert region["value"]["rectanglelabels"] == ["Green Nut"]
    assert (region["original_width"], region["original_height"], region["to_name"]) == (64, 64, "image")
    # 40, 8, 52, 20 of 64
    assert [region["value"][side] for side in ("x", "y", "width", "height")] == pytest.approx(
        [62.5, 12.5, 18.75, 18.75], abs=3
    )


def test_a_label_is_matched_by_its_alias_or_by_what_people_see(client: httpx.Client) -> None:
    aliased = CONFIG.replace('value="rivet"/><Label', 'value="rivet" alias="r1"/><Label')
    [entry] = predict(client, task("/data/upload/image.png"), config=aliased)
    assert [region["value"]["rectanglelabels"] for region in entry["result"]] == [["r1"], ["r1"]]


def test_setup_says_which_labels_are_not_predicted(client: httpx.Client) -> None:
    [warning] = client.post("/setup", json={"schema": CONFIG}).json()["warnings"]
    assert warning.startswith("'rock' is not predicted: the bundle has no such label, the nearest are ")
    [warning] = client.post("/setup", json={"schema": "<View/>"}).json()["warnings"]
    assert "no <Image" in warning


def test_a_data_url_needs_no_host(client: httpx.Client, host: ImageHost) -> None:
    [entry, torn] = predict(
        client,
        task(f"data:image/png;base64,{base64.b64encode(PICTURE).decode()}"),
        task("data:image/png;base64"),
    )
    assert len(entry["result"]) == 2
    assert "data URL" in torn["error"]
    assert host.seen == []


@pytest.mark.parametrize("target", ["private", "metadata", "file", "loop", "torn"])
def test_a_redirect_leads_nowhere_else(client: httpx.Client, target: str) -> None:
    other = ImageHost(PICTURE)
    with live_server(other.app()) as other_url:
        urls = {
            "private": f"{other_url}/data/upload/image.png",
            "metadata": "http://169.254.169.254/latest/meta-data/",
            "file": "file:///etc/passwd",
            "loop": "/to?url=/to",
            "torn": "http://[",
        }
        [entry] = predict(client, task(f"/to?url={urls[target]}"))
    assert entry["result"] == []
    assert other.seen == []
    assert entry["error"]
    assert "passwd" not in entry["error"]


def test_the_token_goes_to_label_studio_alone(
    tiny_bundle: Bundle, configured: Configured, host: ImageHost, tmp_path: Path
) -> None:
    (tmp_path / "token").write_text(TOKEN)
    other = ImageHost(PICTURE)
    with live_server(other.app()) as other_url:
        settings = tiny_settings(
            tiny_bundle.folder,
            label_studio_url=configured.host_url,
            label_studio_token_file=tmp_path / "token",
            image_hosts=other_url.removeprefix("http://"),
        )
        with backend_of(create_app(settings)) as client:
            direct = f"{other_url}/data/upload/image.png"
            entries = predict(client, task(direct), task(f"/to?url={direct}"))
    assert [len(entry["result"]) for entry in entries] == [2, 2]
    assert other.seen == [("/data/upload/image.png", None)] * 2
    assert host.seen == [("/to", f"Token {TOKEN}")]


@pytest.mark.parametrize(
    ("path", "code", "seconds"),
    [("/endless", "image_unreachable", 3), ("/slow", "image_unreachable", 3), ("/large", "body_too_large", 3)],
)
def test_an_image_is_bounded_in_bytes_and_time(client: httpx.Client, path: str, code: str, seconds: float) -> None:
    started_s = time.monotonic()
    [entry, good] = predict(client, task(path), task("/data/upload/image.png"))
    assert time.monotonic() - started_s < seconds
    assert entry["model_version"].endswith(f"failed: {code}")
    assert len(good["result"]) == 2


def test_a_host_that_does_not_respond_costs_the_time_of_one_image(tiny_bundle: Bundle) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        settings = tiny_settings(
            tiny_bundle.folder, image_fetch_s=0.3, label_studio_url=f"http://127.0.0.1:{silent.getsockname()[1]}"
        )
        with backend_of(create_app(settings)) as client:
            [entry] = predict(client, task("/a.png"))
    assert "did not arrive" in entry["error"]


def test_secrets_are_neither_logged_nor_returned(client: httpx.Client, caplog: pytest.LogCaptureFixture) -> None:
    responses = []
    with caplog.at_level(logging.DEBUG):
        for schema in (CONFIG, 7, None):
            body = {"project": "1.1", "schema": schema, "hostname": "http://x", "access_token": CREATOR_TOKEN}
            responses.append(client.post("/setup", json=body).text)
        responses.append(client.post("/setup", json=[CREATOR_TOKEN]).text)
        responses.append(client.post("/setup", content=f'{{"access_token": "{CREATOR_TOKEN}"', headers=JSON).text)
        predict(client, task("/data/upload/image.png"), task("/nothing.png"), task("/text"), context={"result": [{}]})
        responses.append(client.post("/predict", json={"tasks": 3, "params": PASSWORD}).text)
        responses.append(client.post("/predict", json={"tasks": [], "params": PASSWORD}).text)
    records = "".join(f"{record.getMessage()} {vars(record)}" for record in caplog.records)
    for secret in (TOKEN, CREATOR_TOKEN, PASSWORD):
        assert secret not in records
        assert secret not in "".join(responses)


@pytest.mark.parametrize("content", [f"{TOKEN}\n{TOKEN}", "", f"{TOKEN} é"])
def test_a_torn_token_file_is_not_quoted(
    tiny_bundle: Bundle, configured: Configured, tmp_path: Path, caplog: pytest.LogCaptureFixture, content: str
) -> None:
    path = tmp_path / "token"
    path.write_text(content)
    settings = tiny_settings(tiny_bundle.folder, label_studio_url=configured.host_url, label_studio_token_file=path)
    with caplog.at_level(logging.DEBUG), backend_of(create_app(settings)) as client:
        [entry] = predict(client, task("/data/upload/image.png"))
    assert "holds no token" in entry["error"]
    assert TOKEN not in entry["error"] + "".join(f"{record.getMessage()} {vars(record)}" for record in caplog.records)


def test_the_webhook_is_open_and_reads_nothing(client: httpx.Client) -> None:
    for body in (b"{", b"x" * 2 * MAX_BYTES):
        response = client.post("/webhook", content=body, headers=JSON)
        assert (response.status_code, response.json()) == (201, {"status": "ok"})


@pytest.fixture
def guarded(tiny_bundle: Bundle, tmp_path: Path) -> Iterator[tuple[httpx.Client, str]]:
    """A service with one API key, and the key."""
    key = new_key()
    write_key_file(tmp_path / "keys.json", KeyFile(keys=(ApiKey(name="tool", sha256=key_sha256(key)),)))
    settings = tiny_settings(tiny_bundle.folder, api_keys_file=tmp_path / "keys.json")
    with live_server(create_app(settings)) as url, httpx.Client(base_url=url, timeout=30) as client:
        yield client, key


def test_an_api_key_is_the_password_of_basic_authentication(guarded: tuple[httpx.Client, str]) -> None:
    client, key = guarded

    def status(**authorization: Any) -> int:
        return client.post("/labelstudio/setup", json={}, **authorization).status_code

    assert status(auth=("anyone", key)) == 200
    assert status(headers={"Authorization": f"Bearer {key}"}) == 200
    for wrong in (("anyone", "wrong"), (key, ""), ("anyone", f"{key}x"), None):
        assert status(auth=wrong) == 401
    for header in ("Basic", "Basic !", "Basic /w==", "Digest x", f"Basic {key}"):
        assert status(headers={"Authorization": header}) == 401
    assert "Basic" in client.get("/labelstudio/health").headers["www-authenticate"]
    assert client.get("/labels", auth=("anyone", key)).status_code == 401, "only for these routes"
    assert client.post("/labelstudio/webhook", json={}).status_code == 201


def test_health_and_setup_are_in_time_while_the_model_loads(tiny_bundle: Bundle) -> None:
    backend = WatchedBackend(tiny_bundle)
    backend.shut()
    with backend_of(create_app(tiny_settings(tiny_bundle.folder), backend)) as client:
        response = client.get("/health", timeout=1)
        assert (response.status_code, response.json()["code"]) == (503, "not_ready")
        response = client.post("/setup", json={"project": "1.1", "schema": CONFIG}, timeout=3)
        assert response.status_code == 200
        backend.release()
        give_up = time.monotonic() + 30
        while client.get("/health").status_code != 200:
            assert time.monotonic() < give_up
            time.sleep(0.05)


def test_what_there_is_no_time_for_is_left_to_the_next_call(tiny_bundle: Bundle) -> None:
    backend = WatchedBackend(tiny_bundle)
    image = f"data:image/png;base64,{base64.b64encode(PICTURE).decode()}"
    settings = tiny_settings(tiny_bundle.folder, label_studio_predict_s=2, workers=1, queue_size=0, cache_bytes=0)
    with backend_of(create_app(settings, backend)) as client:
        assert [len(entry["result"]) for entry in predict(client, task(image), task(image))] == [2, 2]
        backend.shut()
        assert predict(client, task(image), task(image)) == [[], []]
        backend.release()
        assert [len(entry["result"]) for entry in predict(client, task(image), task(image))] == [2, 2]


@pytest.mark.parametrize("fault", [BackendFailure("cannot run graph cam: inner"), RuntimeError("inner")])
def test_what_fails_inside_the_service_is_for_its_log(
    tiny_bundle: Bundle, caplog: pytest.LogCaptureFixture, fault: Exception
) -> None:
    backend = WatchedBackend(tiny_bundle)
    image = f"data:image/png;base64,{base64.b64encode(PICTURE).decode()}"
    with backend_of(create_app(tiny_settings(tiny_bundle.folder, cache_bytes=0), backend)) as client:
        backend.failing, backend.error = True, fault
        [entry] = predict(client, task(image))
    assert entry["model_version"].endswith("failed: internal_error")
    assert entry["error"].startswith("the fault is in the service")
    assert "inner" not in entry["error"]
    assert "inner" in caplog.text


def test_many_tasks_leave_room_for_others(tiny_bundle: Bundle) -> None:
    """A project of many tasks takes as many places as there are workers, and never the queue."""
    backend = WatchedBackend(tiny_bundle)
    image = f"data:image/png;base64,{base64.b64encode(PICTURE).decode()}"
    app = create_app(tiny_settings(tiny_bundle.folder, workers=1, queue_size=1), backend)
    with backend_of(app) as client:
        entries: list[Any] = []
        call = threading.Thread(target=lambda: entries.extend(predict(client, *[task(image)] * 30)))
        call.start()
        detect = str(client.base_url).replace("/labelstudio/", "/detect")
        statuses = {httpx.post(detect, files={"image": PICTURE}, timeout=30).status_code for _ in range(5)}
        call.join()
    assert statuses == {200}
    assert [len(entry["result"]) for entry in entries] == [2] * 30
