"""The client and what responds in odd ways: slowly, without an end, cut off, in the words of another version."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any

import pytest

from weaksam.client import AsyncClient, ServerFailed, ServerUnreachable
from weaksam.errors import UserError
from weaksam.retry import RetryPolicy

Respond = Callable[[asyncio.StreamWriter], Coroutine[Any, Any, None]]
ONCE = RetryPolicy(attempts=1)
HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
TIMEOUT_S = 0.5
TAG = {"tag": "bolt", "label": "Bolt", "status": "not_found", "stage": "classifier", "predicted": False, "count": 0}
RESULT = {
    "image": {"width": 8, "height": 8, "sha256": "0" * 64},
    "detections": [],
    "tags": [TAG | {"best_score": None, "nearest": []}],
    "timing_ms": {},
    "bundle": {"name": "odd", "version": "1", "digest": "0" * 64},
}


@asynccontextmanager
async def responding(respond: Respond) -> AsyncIterator[str]:
    """Serve one response to whoever connects."""

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        await reader.readexactly(int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0]))
        try:
            await respond(writer)
        except ConnectionError:
            pass
        finally:
            writer.close()

    async with await asyncio.start_server(handle, "127.0.0.1", 0) as server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"


def whole(document: object) -> Respond:
    body = json.dumps(document).encode()

    async def respond(writer: asyncio.StreamWriter) -> None:
        writer.write(HEAD + b"Content-Length: %d\r\n\r\n" % len(body) + body)
        await writer.drain()

    return respond


async def drip_the_head(writer: asyncio.StreamWriter) -> None:
    for byte in HEAD * 100:
        writer.write(bytes([byte]))
        await writer.drain()
        await asyncio.sleep(0.05)


async def never_end_the_body(writer: asyncio.StreamWriter) -> None:
    writer.write(HEAD + b"Transfer-Encoding: chunked\r\n\r\n")
    while True:
        writer.write(b"1\r\n \r\n")
        await writer.drain()
        await asyncio.sleep(0.05)


async def cut_the_body(writer: asyncio.StreamWriter) -> None:
    writer.write(HEAD + b"Content-Length: 500\r\n\r\n{")
    await writer.drain()


UNUSABLE = {
    "drips": (drip_the_head, "took too long"),
    "never ends": (never_end_the_body, "took too long"),
    "is cut": (cut_the_body, "the connection was cut"),
}


@pytest.mark.parametrize(("respond", "told"), UNUSABLE.values(), ids=list(UNUSABLE))
async def test_no_response_is_waited_for_without_an_end(respond: Respond, told: str) -> None:
    async with responding(respond) as url, AsyncClient(url, timeout_s=TIMEOUT_S, retry=ONCE) as client:
        async with asyncio.timeout(20 * TIMEOUT_S):
            with pytest.raises(ServerUnreachable, match=told):
                await client.detect(b"x", ["bolt"])


async def test_a_newer_service_may_say_more() -> None:
    async with responding(whole(RESULT | {"news": 1})) as url, AsyncClient(url, retry=ONCE) as client:
        assert (await client.detect(b"x", ["bolt"])).tags[0].label == "Bolt"


async def test_what_another_version_says_differently_is_named() -> None:
    changed = RESULT | {"tags": [TAG | {"best_score": None, "nearest": [], "stage": "later"}]}
    async with responding(whole(changed)) as url, AsyncClient(url, retry=ONCE) as client:
        with pytest.raises(ServerFailed, match=r"another version.*tags\[0\].stage is 'later'") as caught:
            await client.detect(b"x", ["bolt"])
    assert caught.value.code == "not_the_service"


OPTIONS = {
    "key of other letters": ({"api_key": "ключ"}, "api_key is no API key"),
    "key of two lines": ({"api_key": "secret\nsecret"}, "api_key is no API key"),
    "no time": ({"timeout_s": 0.0}, "timeout_s is 0.0: give seconds"),
    "no number": ({"timeout_s": float("nan")}, "timeout_s is nan: give seconds"),
}


@pytest.mark.parametrize(("options", "told"), OPTIONS.values(), ids=list(OPTIONS))
def test_an_option_that_cannot_be_is_refused_without_the_key(options: dict[str, Any], told: str) -> None:
    with pytest.raises(UserError, match=told) as caught:
        AsyncClient("http://127.0.0.1:9", **options)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("image", ["bench.jpg", None, bytearray(b"x")], ids=["text", "none", "bytearray"])
async def test_an_image_is_a_path_or_bytes(image: Any) -> None:
    async with AsyncClient("http://127.0.0.1:9") as client:
        with pytest.raises(UserError, match=r"image is of type \w+: give a pathlib.Path"):
            await client.detect(image, ["bolt"])
