"""The client against a server over a socket: what it retries, what it raises, how long it waits."""

from __future__ import annotations

import asyncio
import time
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path

import httpx
import pytest

from tests.support.bundles.tiny_bundle import encoded, picture
from tests.support.fakes.fake_service import BUSY, CUT, FakeService, Reply
from tests.support.servers.live_server import live_server
from weaksam.client import AsyncClient, ClientError, RequestRefused, ServerFailed, ServerUnreachable
from weaksam.errors import UserError
from weaksam.retry import RetryPolicy
from weaksam.review.forward import Forwarder

FAST = RetryPolicy(attempts=3, first_wait_s=0.01)


async def test_bytes_and_files_are_answered_alike(url: str, tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_bytes(b"picture")
    async with AsyncClient(url, retry=FAST) as client:
        from_bytes = await client.detect(b"picture", ["Bolt", "Nut"])
        from_file = await client.detect(tmp_path / "a.jpg", ["Bolt", "Nut"])
    assert from_bytes == from_file
    assert [(row.label, row.box_xyxy) for row in from_file.detections] == [
        ("Bolt", (10.0, 5.0, 20.0, 9.0)),
        ("Nut", (10.0, 5.0, 20.0, 11.0)),
    ]


async def test_options_are_sent_where_given(url: str, fake: FakeService) -> None:
    async with AsyncClient(url) as client:
        await client.detect(b"", ["Bolt"])
        await client.detect(b"", ["Bolt"], min_score=0.3, max_detections=5, mask_format="png", unknown_tags="skip")
    plain = {"mask_format": "rle", "explain": "false", "unknown_tags": "error"}
    chosen = {"mask_format": "png", "min_score": "0.3", "max_detections": "5", "unknown_tags": "skip"}
    assert fake.forms == [plain, {**plain, **chosen}]


@pytest.mark.parametrize(
    ("tags", "message"),
    [
        pytest.param("wire", r"tags: is the text 'wire': give a list of names, such as \['wire'\]", id="one text"),
        pytest.param(["Wood", "\ud83d"], r"tags: '\\ud83d' holds half a character", id="half an emoji"),
    ],
)
async def test_tags_that_cannot_be_sent_are_refused(url: str, fake: FakeService, tags: list[str], message: str) -> None:
    async with AsyncClient(url) as client:
        with pytest.raises(RequestRefused, match=message):
            await client.detect(b"x", tags)
    assert not fake.seen


@pytest.mark.parametrize(
    ("replies", "attempts"),
    [
        pytest.param([BUSY, BUSY], 3, id="busy"),
        pytest.param([CUT], 2, id="cut connection"),
        pytest.param([Reply(504, "deadline_exceeded"), CUT], 3, id="deadline, then cut"),
        pytest.param([Reply(502, "x")], 2, id="restarting behind a proxy"),
        pytest.param([Reply(408, "upload_timeout")], 2, id="a slow line"),
    ],
)
async def test_passing_trouble_is_retried(url: str, fake: FakeService, replies: list[Reply], attempts: int) -> None:
    fake.replies["image"] = list(replies)
    async with AsyncClient(url, retry=FAST) as client:
        answer = await client.detect(b"x", ["Bolt"])
    assert len(answer.detections) == 1
    assert len(fake.seen) == attempts


@pytest.mark.parametrize(
    ("reply", "kind", "code", "attempts"),
    [
        pytest.param(Reply(415, "not_an_image"), RequestRefused, "not_an_image", 1, id="refused"),
        pytest.param(Reply(422, "unknown_tag"), RequestRefused, "unknown_tag", 1, id="unknown tag"),
        pytest.param(Reply(500, "internal_error"), ServerFailed, "internal_error", 1, id="server bug"),
        pytest.param(BUSY, ServerFailed, "busy", 3, id="busy to the end"),
        pytest.param(CUT, ServerUnreachable, "unreachable", 3, id="cut to the end"),
    ],
)
async def test_lasting_trouble_is_raised(
    url: str, fake: FakeService, reply: Reply, kind: type[ClientError], code: str, attempts: int
) -> None:
    fake.replies["image"] = [reply] * 10
    async with AsyncClient(url, retry=FAST) as client:
        with pytest.raises(kind) as raised:
            await client.detect(b"x", ["Bolt"])
    assert raised.value.code == code
    assert len(fake.seen) == attempts


@pytest.mark.parametrize("as_date", [False, True], ids=["seconds", "date"])
async def test_retry_after_is_honoured(url: str, fake: FakeService, as_date: bool) -> None:
    # A date has whole seconds, so two seconds ahead means at least one.
    text = format_datetime(datetime.now(UTC) + timedelta(seconds=2), usegmt=True) if as_date else "1"
    fake.replies["image"] = [Reply(503, "busy", {"Retry-After": text})]
    started_s = time.monotonic()
    async with AsyncClient(url, retry=FAST) as client:
        await client.detect(b"x", ["Bolt"])
    assert 0.95 <= time.monotonic() - started_s < 5.0


async def test_concurrency_falls_to_what_the_server_can_take(url: str, fake: FakeService) -> None:
    fake.capacity, fake.delay_s = 2, 0.01
    patient = RetryPolicy(attempts=40, first_wait_s=0.01)
    async with AsyncClient(url, max_concurrent=16, retry=patient) as client:
        answers = await asyncio.gather(*(client.detect(b"%d" % number, ["Bolt"]) for number in range(40)))
    assert len(answers) == 40
    assert fake.max_in_flight <= 2
    refused = len(fake.seen) - 40
    assert refused < 40, f"{refused} of {len(fake.seen)} requests were sent in vain"


@pytest.mark.parametrize("reply", [Reply(504, "deadline_exceeded"), CUT], ids=["deadline", "cut"])
async def test_trouble_of_one_image_does_not_hold_up_the_others(
    url: str, fake: FakeService, tmp_path: Path, reply: Reply
) -> None:
    slow_image = tmp_path / "slow.jpg"
    slow_image.write_bytes(b"slow")
    fake.replies["slow.jpg"] = [reply] * 2
    fake.delay_s = 0.02
    patient = RetryPolicy(attempts=4, first_wait_s=1.0)
    async with AsyncClient(url, max_concurrent=4, retry=patient) as client:
        started_s = time.monotonic()
        slow = asyncio.create_task(client.detect(slow_image, ["Bolt"]))
        await asyncio.gather(*(client.detect(b"%d" % number, ["Bolt"]) for number in range(40)))
        others_s = time.monotonic() - started_s
        assert not slow.done()
        assert client._limit.allowed == 4
        await slow
    assert others_s < (time.monotonic() - started_s) / 2


async def test_nobody_waits_after_the_last_attempt(url: str, fake: FakeService) -> None:
    fake.replies["image"] = [Reply(503, "busy", {"Retry-After": "30"})]
    async with AsyncClient(url, retry=RetryPolicy(attempts=1)) as client:
        started_s = time.monotonic()
        with pytest.raises(ServerFailed):
            await client.detect(b"x", ["Bolt"])
        await client.detect(b"x", ["Bolt"])
        assert time.monotonic() - started_s < 2


async def test_no_server_is_one_sentence() -> None:
    async with AsyncClient("http://127.0.0.1:9", retry=FAST) as client:
        assert not await client.alive()
        with pytest.raises(ServerUnreachable, match=r"^http://127.0.0.1:9 cannot be reached: "):
            await client.labels()


async def test_another_server_is_recognised() -> None:
    async def app(scope: dict[str, object], receive: object, send: httpx.ASGITransport) -> None:
        del scope, receive
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/html")]})  # type: ignore[operator]
        await send({"type": "http.response.body", "body": b"<html>"})  # type: ignore[operator]

    with live_server(app) as address:
        async with AsyncClient(address, retry=FAST) as client:
            with pytest.raises(ServerFailed, match="check the address"):
                await client.labels()


def test_an_address_without_a_scheme_is_refused() -> None:
    with pytest.raises(ValueError, match="server must be a URL such as http://127.0.0.1:8000, got 'localhost:8000'"):
        AsyncClient("localhost:8000")


@pytest.mark.parametrize(
    ("address", "sentence"),
    [
        pytest.param(
            "http://[::1", r"server must be a URL such as .*, got 'http://\[::1' \(Invalid port", id="bracket"
        ),
        pytest.param("http://localhost:808000", "whose port is 808000: give one from 1 to 65535", id="port"),
        pytest.param("http://", "server must be a URL such as .*, got 'http://'", id="no host"),
        pytest.param("http://host/?key=1", "give the address alone, without what begins", id="query"),
        pytest.param("ftp://host", "server must be a URL such as .*, got 'ftp://host'", id="scheme"),
    ],
)
def test_an_address_that_cannot_be_is_refused(address: str, sentence: str) -> None:
    with pytest.raises(UserError, match=sentence):
        AsyncClient(address)
    with pytest.raises(UserError, match=sentence):
        Forwarder(address, None)


async def test_the_address_of_a_page_of_the_service_is_told(url: str) -> None:
    async with AsyncClient(f"{url}/detect", retry=FAST) as client:
        with pytest.raises(ServerFailed, match=r"/detect/livez is not there: give the service's address alone") as told:
            await client.reach()
    assert told.value.code == "not_the_service"


def test_waits_double_up_to_the_longest() -> None:
    policy = RetryPolicy(first_wait_s=1.0, max_wait_s=5.0)
    for attempt, longest_s in enumerate([1.0, 2.0, 4.0, 5.0, 5.0], start=1):
        assert longest_s / 2 <= policy.wait_s(attempt, None) <= longest_s
    assert 3.0 <= policy.wait_s(1, retry_after_s=3.0) <= 4.5
    # a service that says one second for minutes, while what is behind it restarts
    assert policy.wait_s(4, retry_after_s=1.0) >= 4.0
    assert policy.wait_s(1, retry_after_s=3600.0) == 5.0


def test_a_policy_that_never_sends_is_refused() -> None:
    with pytest.raises(UserError, match="attempts: is 0, take 1 or more"):
        RetryPolicy(attempts=0)


async def test_too_many_tags_are_told_by_the_service(tiny_service: httpx.Client) -> None:
    async with AsyncClient(str(tiny_service.base_url), retry=FAST) as client:
        with pytest.raises(RequestRefused, match="1001 different tags") as refused:
            await client.detect(encoded(picture()), [f"tag {number}" for number in range(1001)])
    assert refused.value.code == "too_many_tags"
