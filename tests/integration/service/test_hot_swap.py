"""Another bundle takes over while eight clients go on: no failed request, each answer from exactly one version."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest

from models.bundle_files.manifest import load_bundle, write_manifest
from models.settings import PostSettings
from service.app import create_app
from service.auth.api_keys import ApiKey, KeyFile, key_sha256, new_key, write_key_file
from tests.support.bundles.service_parts import PATIENCE_S, TWO_BOLTS_AND_A_NUT, tiny_settings
from tests.support.bundles.tiny_bundle import encoded, write_tiny_bundle
from tests.support.servers.live_server import live_server

PICTURE = encoded(TWO_BOLTS_AND_A_NUT)
CLIENTS, SWAPS = 8, 4


class Shop:
    """Two bundles that answer differently, and the link to the one that is configured."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.link = folder / "current"
        for version, power in (("1", 0.0), ("2", 1.0)):
            (folder / version).mkdir()
            # The second weighs scores with the mask's quality, so its scores are lower.
            bundle = write_tiny_bundle(folder / version, post=PostSettings(quality_power=power))
            write_manifest(replace(bundle, version=version))
        self.turn_to("1")
        self.admin = new_key()
        self.keys = folder / "keys.json"
        write_key_file(self.keys, KeyFile(keys=(ApiKey(name="admin", sha256=key_sha256(self.admin), admin=True),)))

    def turn_to(self, version: str) -> None:
        fresh = self.folder / "next"
        fresh.symlink_to(self.folder / version)
        fresh.replace(self.link)

    def digest(self, version: str) -> str:
        return load_bundle(self.folder / version).digest

    def settings(self, **changes: Any) -> Any:
        return tiny_settings(self.link, api_keys_file=self.keys, **changes)


@pytest.fixture
def shop(tmp_path: Path) -> Shop:
    return Shop(tmp_path)


def client_of(url: str, shop: Shop) -> httpx.AsyncClient:
    headers = {"Authorization": f"Bearer {shop.admin}"}
    return httpx.AsyncClient(base_url=url, headers=headers, timeout=PATIENCE_S)


async def post(client: httpx.AsyncClient) -> httpx.Response:
    return await client.post("/detect", files={"image": PICTURE}, data={"tags": "red-bolt,green-nut"})


def content(answer: httpx.Response) -> str:
    """All of an answer that the models decide."""
    document = answer.json()
    return json.dumps([document["detections"], document["tags"]])


@pytest.mark.parametrize("cache_bytes", [0, 2**26], ids=["every picture worked on anew", "all from the cache"])
async def test_swaps_under_load(shop: Shop, cache_bytes: int) -> None:
    swapping = True
    answers: list[httpx.Response] = []

    async def go_on(client: httpx.AsyncClient) -> None:
        while swapping:
            answers.append(await post(client))

    with live_server(create_app(shop.settings(cache_bytes=cache_bytes))) as url:
        async with client_of(url, shop) as client:
            expected = {shop.digest("1"): content(await post(client))}
            load = [asyncio.create_task(go_on(client)) for _ in range(CLIENTS)]
            for turn in range(SWAPS):
                version = "21"[turn % 2]
                shop.turn_to(version)
                reloaded = await client.post("/admin/reload")
                assert reloaded.status_code == 200, reloaded.text
                assert reloaded.json()["outcome"] == "swapped"
                assert reloaded.json()["bundle"]["digest"] == shop.digest(version)
                # From the answer on, only the new bundle answers.
                answer = await post(client)
                assert answer.json()["bundle"]["digest"] == shop.digest(version)
                expected.setdefault(shop.digest(version), content(answer))
            swapping = False
            await asyncio.gather(*load)
            metrics = (await client.get("/metrics")).text
    assert Counter(answer.status_code for answer in answers) == {200: len(answers)}
    by_digest = Counter(answer.json()["bundle"]["digest"] for answer in answers)
    assert set(by_digest) == {shop.digest("1"), shop.digest("2")}
    assert len(set(expected.values())) == 2, "the two bundles must be told apart by what they find"
    assert {
        content(answer) for answer in answers if content(answer) != expected[answer.json()["bundle"]["digest"]]
    } == set()
    assert f'weaksam_reloads_total{{outcome="swapped"}} {SWAPS}.0' in metrics
    bundles = [line for line in metrics.splitlines() if line.startswith("weaksam_bundle{")]
    assert len(bundles) == 1
    assert shop.digest("1") in bundles[0]


async def test_a_bundle_that_cannot_be_served_is_told_and_changes_nothing(shop: Shop) -> None:
    with live_server(create_app(shop.settings())) as url:
        async with client_of(url, shop) as client:
            before = content(await post(client))
            (shop.folder / "2" / "wsod.onnx").write_bytes(b"torn")
            shop.turn_to("2")
            failed = await client.post("/admin/reload")
            assert (failed.status_code, failed.json()["code"]) == (500, "reload_failed")
            assert "the bundle stays as it was" in failed.json()["detail"]
            assert "wsod.onnx" in failed.json()["detail"]
            answer = await post(client)
            assert answer.json()["bundle"]["digest"] == shop.digest("1")
            assert content(answer) == before
            assert (await client.get("/readyz")).status_code == 200
            assert 'weaksam_reloads_total{outcome="failed"} 1.0' in (await client.get("/metrics")).text


async def test_no_path_can_be_named(shop: Shop) -> None:
    other = str(shop.folder / "2")
    with live_server(create_app(shop.settings())) as url:
        async with client_of(url, shop) as client:
            for sent in ({"params": {"bundle": other}}, {"json": {"bundle": other}}, {"data": {"bundle": other}}):
                answer = await client.post("/admin/reload", **sent)  # type: ignore[arg-type]
                assert answer.json()["bundle"]["digest"] == shop.digest("1")


async def test_keys_are_read_again_even_where_the_bundle_fails(shop: Shop) -> None:
    with live_server(create_app(shop.settings())) as url:
        async with client_of(url, shop) as client:
            second = new_key()
            known = ApiKey(name="admin", sha256=key_sha256(shop.admin), admin=True)
            write_key_file(shop.keys, KeyFile(keys=(known, ApiKey(name="new", sha256=key_sha256(second)))))
            (shop.folder / "1" / "bundle.json").write_text("{}")
            assert (await client.post("/admin/reload")).status_code == 500
            headers = {"Authorization": f"Bearer {second}"}
            assert (await client.get("/labels", headers=headers)).status_code == 200
            shop.keys.write_text("{")
            failed = await client.post("/admin/reload")
            assert "the keys stay as they were" in failed.json()["detail"]
            assert (await client.get("/labels", headers=headers)).status_code == 200
