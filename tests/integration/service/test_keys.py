"""API keys, rates and origins, as a client meets them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest
import typer

from models.bundle import Bundle
from service.app import create_app
from service.auth.api_keys import ApiKey, KeyFile, key_sha256, new_key, write_key_file
from tests.support.bundles.service_parts import TWO_BOLTS_AND_A_NUT, tiny_settings
from tests.support.bundles.tiny_bundle import encoded
from tests.support.servers.live_server import live_server
from weaksam.cli.labelling.label import label
from weaksam.client import AsyncClient, RequestRefused
from weaksam.retry import RetryPolicy

PICTURE = encoded(TWO_BOLTS_AND_A_NUT)
ORIGIN, STRANGER = "https://label.example", "https://elsewhere.example"
GUARDED = ("/labels", "/metrics", "/nowhere", "/livez/", "//livez", "/livez?x=1/../labels")


@dataclass(frozen=True)
class Keyed:
    client: httpx.Client
    url: str
    key: str
    admin: str
    slow: str

    def get(self, path: str, key: str | None) -> httpx.Response:
        return self.client.get(path, headers={} if key is None else {"Authorization": f"Bearer {key}"})


@pytest.fixture(scope="module")
def keyed(tiny_bundle: Bundle, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Keyed]:
    """The service with three keys and one origin."""
    path = tmp_path_factory.mktemp("keys") / "keys.json"
    key, admin, slow = new_key(), new_key(), new_key()
    write_key_file(
        path,
        KeyFile(
            keys=(
                ApiKey(name="user", sha256=key_sha256(key)),
                ApiKey(name="boss", sha256=key_sha256(admin), admin=True),
                ApiKey(name="slow", sha256=key_sha256(slow), rate_per_s=0.02, burst=2),
            )
        ),
    )
    settings = tiny_settings(tiny_bundle.folder, api_keys_file=path, cors_origins=f" {ORIGIN} , http://10.0.0.1:3000")
    with live_server(create_app(settings)) as url, httpx.Client(base_url=url, timeout=60) as client:
        yield Keyed(client, url, key, admin, slow)


def test_probes_are_open_and_nothing_else_is(keyed: Keyed) -> None:
    assert keyed.client.get("/livez").status_code == 200
    assert keyed.client.get("/readyz").status_code in (200, 503)
    # Whole addresses, since a client takes //livez for the name of a host.
    assert [keyed.client.get(keyed.url + path).status_code for path in GUARDED[:-1]] == [401] * (len(GUARDED) - 1)
    # A query does not make a probe another page, nor another page a probe.
    assert keyed.client.get(GUARDED[-1]).status_code == 200
    assert keyed.client.post("/admin/reload").status_code == 401
    assert keyed.client.request("OPTIONS", "/labels").status_code == 401


@pytest.mark.parametrize(
    "header",
    [None, "", "Bearer", "Bearer wrong", "Basic dXNlcjp4", "Token {key}", "Bearer {key}x", "Bearer {half}"],
)
def test_without_a_known_key_the_answer_is_401(keyed: Keyed, header: str | None) -> None:
    sent = {} if header is None else {"Authorization": header.format(key=keyed.key, half=keyed.key[:-1])}
    answer = keyed.client.post("/detect", headers=sent, files={"image": PICTURE})
    assert answer.status_code == 401
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.headers["www-authenticate"] == 'Bearer realm="weaksam"'
    assert answer.json()["code"] == "unauthorized"
    assert answer.json()["request_id"] == answer.headers["x-request-id"]
    assert keyed.key not in answer.text


def test_a_known_key_is_let_in(keyed: Keyed) -> None:
    answer = keyed.client.post(
        "/detect",
        headers={"authorization": f"bearer {keyed.key}"},
        files={"image": PICTURE},
        data={"tags": "red-bolt"},
    )
    assert answer.status_code == 200
    assert len(answer.json()["detections"]) == 2


def test_a_large_body_gets_its_refusal_and_the_connection_lives_on(keyed: Keyed) -> None:
    for _ in range(3):
        answer = keyed.client.post("/detect", files={"image": b"x" * 8_000_000})
        assert (answer.status_code, answer.json()["code"]) == (401, "unauthorized")
    assert keyed.get("/labels", keyed.key).status_code == 200


def test_a_key_that_is_used_up_waits_and_the_others_do_not(keyed: Keyed) -> None:
    statuses = [keyed.get("/labels", keyed.slow).status_code for _ in range(4)]
    assert statuses == [200, 200, 429, 429]
    refused = keyed.get("/labels", keyed.slow)
    assert refused.json()["code"] == "rate_limited"
    assert 1 <= int(refused.headers["retry-after"]) <= 50
    assert [keyed.get("/labels", keyed.key).status_code for _ in range(20)] == [200] * 20
    text = keyed.get("/metrics", keyed.key).text
    assert 'weaksam_key_requests_total{key="slow",outcome="limited"} 3.0' in text
    assert 'weaksam_key_requests_total{key="slow",outcome="admitted"} 2.0' in text


def test_wrong_keys_leave_no_names_in_the_metrics(keyed: Keyed) -> None:
    for _ in range(5):
        keyed.get("/labels", new_key())
    lines = keyed.get("/metrics", keyed.key).text.splitlines()
    named = {line.split('key="')[1].split('"')[0] for line in lines if line.startswith("weaksam_key_requests_total{")}
    assert named <= {"user", "boss", "slow"}


def test_only_an_administrator_reloads(keyed: Keyed) -> None:
    def reload(key: str) -> httpx.Response:
        return keyed.client.post("/admin/reload", headers={"Authorization": f"Bearer {key}"})

    refused = reload(keyed.key)
    assert (refused.status_code, refused.json()["code"]) == (403, "forbidden")
    answer = reload(keyed.admin)
    assert answer.status_code == 200
    assert (answer.json()["outcome"], answer.json()["keys"]) == ("unchanged", 3)


def test_without_keys_nobody_is_an_administrator(tiny_service: httpx.Client) -> None:
    answer = tiny_service.post("/admin/reload")
    assert (answer.status_code, answer.json()["code"]) == (403, "forbidden")
    assert "WEAKSAM_API_KEYS_FILE" in answer.json()["detail"]


def test_the_log_has_the_key_s_name_and_never_the_key(keyed: Keyed, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    keyed.get("/labels", keyed.key)
    keyed.get("/labels", keyed.key[:-1])
    rows = [record.fields for record in caplog.records if record.message == "request"]  # type: ignore[attr-defined]
    assert [row.get("key") for row in rows] == ["user", None]
    assert keyed.key[:-1] not in caplog.text


def test_metrics_can_be_opened(tiny_bundle: Bundle, tmp_path: Path) -> None:
    write_key_file(tmp_path / "keys.json", KeyFile())
    settings = tiny_settings(tiny_bundle.folder, api_keys_file=tmp_path / "keys.json", open_metrics=True)
    with live_server(create_app(settings)) as url, httpx.Client(base_url=url) as client:
        assert [client.get(path).status_code for path in ("/metrics", "/labels")] == [200, 401]


def preflight(client: httpx.Client, origin: str) -> httpx.Response:
    headers = {
        "Origin": origin,
        "Access-Control-Request-Method": "POST",
        "Access-Control-Request-Headers": "authorization,content-type",
    }
    return client.options("/detect", headers=headers)


def test_pages_of_named_origins_may_call(keyed: Keyed) -> None:
    allowed = preflight(keyed.client, ORIGIN)
    assert allowed.status_code == 200
    assert allowed.headers["access-control-allow-origin"] == ORIGIN
    assert "authorization" in allowed.headers["access-control-allow-headers"].lower()
    refused = keyed.client.get("/labels", headers={"Origin": ORIGIN})
    assert refused.status_code == 401
    assert refused.headers["access-control-allow-origin"] == ORIGIN, "the page must be able to read why"
    assert "access-control-allow-credentials" not in refused.headers


def test_pages_of_other_origins_may_not(keyed: Keyed, tiny_service: httpx.Client) -> None:
    assert "access-control-allow-origin" not in preflight(keyed.client, STRANGER).headers
    assert "access-control-allow-origin" not in preflight(tiny_service, ORIGIN).headers
    assert "access-control-allow-origin" not in tiny_service.get("/livez", headers={"Origin": ORIGIN}).headers


async def test_the_client_sends_its_key(keyed: Keyed) -> None:
    retry = RetryPolicy(attempts=1)
    async with AsyncClient(keyed.url, api_key=keyed.key, retry=retry) as client:
        assert len((await client.labels()).labels) == 3
    async with AsyncClient(keyed.url, retry=retry) as client:
        with pytest.raises(RequestRefused, match="there is no API key") as caught:
            await client.labels()
        assert caught.value.code == "unauthorized"


@pytest.mark.parametrize("place", ["variable", "file"])
def test_a_labelling_run_takes_its_key_from_outside_the_command_line(
    keyed: Keyed, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    (tmp_path / "in" / "red-bolt").mkdir(parents=True)
    (tmp_path / "in" / "red-bolt" / "a.png").write_bytes(PICTURE)
    run = {"folder": str(tmp_path / "in"), "out": tmp_path / "out", "tags_from": "folder", "server": keyed.url}
    with pytest.raises(ValueError, match="there is no API key"):
        label(**run)  # type: ignore[arg-type]
    monkeypatch.setenv("WEAKSAM_API_KEY", "two\nlines")
    with pytest.raises(ValueError, match="WEAKSAM_API_KEY holds no API key"):
        label(**run)  # type: ignore[arg-type]
    if place == "variable":
        monkeypatch.setenv("WEAKSAM_API_KEY", keyed.key)
    else:
        (tmp_path / "key").write_text(f"{keyed.key}\n")
        run["api_key_file"] = tmp_path / "key"
    with pytest.raises(typer.Exit) as ended:
        label(**run)  # type: ignore[arg-type]
    assert ended.value.exit_code == 0
    assert (tmp_path / "out" / "ledger.csv").read_text().count("\n") == 2
