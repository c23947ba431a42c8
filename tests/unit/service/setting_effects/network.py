"""Addresses, access, connections, and what is seen of the service from outside."""

from __future__ import annotations

import logging
from typing import Any

import pytest

from models.bundle import Bundle
from service.app import create_app, create_server
from service.auth.api_keys import ApiKey, KeyFile, key_sha256, new_key, write_key_file
from service.http.trace_scope import TraceScope
from service.runtime.server import Server
from tests.support.bundles.service_parts import (
    tiny_settings,
)
from tests.unit.service.setting_effects.calls import Check, client_of


async def check_keep_alive_s(bundle: Bundle, _: pytest.MonkeyPatch) -> None:
    for keep_alive_s in (3, 90):
        server = create_server(tiny_settings(bundle.folder, keep_alive_s=keep_alive_s))
        assert server.config.timeout_keep_alive == keep_alive_s


async def check_host_and_port(bundle: Bundle, _: pytest.MonkeyPatch) -> None:
    config = create_server(tiny_settings(bundle.folder, host="127.0.0.2", port=4711)).config
    assert (config.host, config.port) == ("127.0.0.2", 4711)


async def check_shutdown_grace_s(bundle: Bundle, _: pytest.MonkeyPatch) -> None:
    assert create_server(tiny_settings(bundle.folder, shutdown_grace_s=3)).config.timeout_graceful_shutdown == 3


async def check_root_path(bundle: Bundle, _: pytest.MonkeyPatch) -> None:
    for wrong in ("weaksam", "/weaksam/", "https://host/weaksam"):
        with pytest.raises(ValueError, match="WEAKSAM_ROOT_PATH is"):
            tiny_settings(bundle.folder, root_path=wrong)
    for root_path, status in (("", 404), ("/weaksam", 200)):
        async with client_of(bundle, root_path=root_path) as (client, _pipeline):
            assert (await client.get("/weaksam/livez")).status_code == status
            assert (await client.get("/livez")).status_code == 200


async def check_drain_s(bundle: Bundle, _: pytest.MonkeyPatch) -> None:
    server = create_server(tiny_settings(bundle.folder, drain_s=0.75))
    assert isinstance(server, Server)
    assert server._drain_s == 0.75


async def check_api_keys(bundle: Bundle, _: pytest.MonkeyPatch) -> None:
    secret = new_key()
    path = bundle.folder.parent / "keys_of_settings.json"
    write_key_file(path, KeyFile(keys=(ApiKey(name="a", sha256=key_sha256(secret)),)))
    headers = {"Authorization": f"Bearer {secret}"}
    for burst in (1, 2):
        changes: dict[str, Any] = {"api_keys_file": path, "api_key_rate_per_s": 0.001, "api_key_burst": burst}
        async with client_of(bundle, **changes) as (client, _pipeline):
            statuses = [(await client.get("/labels", headers=headers)).status_code for _ in range(3)]
            assert statuses == [200] * burst + [429] * (3 - burst)
            assert (await client.get("/labels")).status_code == 401
    async with client_of(bundle, api_keys_file=path) as (client, _pipeline):
        assert [(await client.get("/labels", headers=headers)).status_code for _ in range(30)] == [200] * 30
    for open_metrics, status in ((False, 401), (True, 200)):
        async with client_of(bundle, api_keys_file=path, open_metrics=open_metrics) as (client, _pipeline):
            assert (await client.get("/metrics")).status_code == status


async def check_cors_origins(bundle: Bundle, _: pytest.MonkeyPatch) -> None:
    for wrong in ("*", "label.example", "https://label.example/page", "https://*.example"):
        with pytest.raises(ValueError, match="is no origin: write each as https://host"):
            tiny_settings(bundle.folder, cors_origins=wrong)
    origin = "https://label.example"
    for named in ("", f"http://10.0.0.1:3000,{origin}"):
        async with client_of(bundle, cors_origins=named) as (client, _pipeline):
            answer = await client.get("/livez", headers={"Origin": origin})
            assert answer.headers.get("access-control-allow-origin") == (origin if named else None)


async def check_otlp_endpoint(bundle: Bundle, _: pytest.MonkeyPatch) -> None:
    with pytest.raises(ValueError, match="WEAKSAM_OTLP_ENDPOINT is 'collector:4318': give the URL of a collector"):
        tiny_settings(bundle.folder, otlp_endpoint="collector:4318")
    for endpoint in (None, "http://127.0.0.1:9"):
        app = create_app(tiny_settings(bundle.folder, otlp_endpoint=endpoint))
        layers: list[object] = [layer.cls for layer in app.user_middleware]
        assert (TraceScope in layers) == (endpoint is not None)


async def check_page(bundle: Bundle, _: pytest.MonkeyPatch) -> None:
    for page, status in ((True, 200), (False, 404)):
        async with client_of(bundle, page=page) as (client, _pipeline):
            assert [(await client.get(path)).status_code for path in ("/", "/page/main.js")] == [status, status]


async def check_log_level(bundle: Bundle, _: pytest.MonkeyPatch) -> None:
    create_server(tiny_settings(bundle.folder, log_level="error"))
    assert logging.getLogger().level == logging.ERROR


CHECKS: dict[str, Check] = {
    "api_key_burst": check_api_keys,
    "api_key_rate_per_s": check_api_keys,
    "api_keys_file": check_api_keys,
    "cors_origins": check_cors_origins,
    "drain_s": check_drain_s,
    "host": check_host_and_port,
    "keep_alive_s": check_keep_alive_s,
    "log_level": check_log_level,
    "open_metrics": check_api_keys,
    "otlp_endpoint": check_otlp_endpoint,
    "page": check_page,
    "port": check_host_and_port,
    "root_path": check_root_path,
    "shutdown_grace_s": check_shutdown_grace_s,
}
