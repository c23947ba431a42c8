from __future__ import annotations

import asyncio
import base64
from collections.abc import Callable
from typing import Annotated, Any

import httpx
import pytest
from fastapi import FastAPI, Query, Request
from starlette.types import Message, Scope

from service.errors import BodyTooLarge, Busy
from service.http import request_body
from service.http.body_limit import BodyLimit
from service.http.problems import add_problem_handlers
from service.http.request_body import read_request
from weaksam.schemas import DetectFields

DATA = bytes(range(256))
TEXT = base64.b64encode(DATA).decode()
Sent = dict[str, Any]
FORM = {"content-type": "multipart/form-data; boundary=x"}
PART = b'--x\r\nContent-Disposition: form-data; name="%b"\r\n\r\n%b\r\n'
FILE_PART = b'--x\r\nContent-Disposition: form-data; name="image"; filename="a"\r\n\r\n%b'

GOOD: dict[str, tuple[Sent, tuple[str, ...]]] = {
    "form": ({"files": {"image": DATA}, "data": {"tags": ["a", "b,c"]}}, ("a", "b", "c")),
    "form without tags": ({"files": {"image": DATA}}, ()),
    "form with blank tags": ({"files": {"image": DATA}, "data": {"tags": [" ", ",,"]}}, ()),
    "form with a json list, whose items stay whole": (
        {"files": {"image": DATA}, "data": {"tags": ' ["nut, hex", "a"]'}},
        ("nut, hex", "a"),
    ),
    "form with brackets": ({"files": {"image": DATA}, "data": {"tags[]": ["a", "b,c"]}}, ("a", "b", "c")),
    "form with empty options": (
        {"files": {"image": DATA}, "data": {"tags": "a", "min_score": "", "max_detections": "", "mask_format": ""}},
        ("a",),
    ),
    "form with nulls, and a tag of that name": (
        {"files": {"image": DATA}, "data": {"tags": "null", "min_score": "null", "mask_format": "null"}},
        ("null",),
    ),
    "query with empty options": (
        {"files": {"image": DATA}, "params": {"tags": "a", "min_score": "", "explain": "", "unknown_tags": ""}},
        ("a",),
    ),
    "query with a json list": ({"files": {"image": DATA}, "params": {"tags": '["nut, hex"]'}}, ("nut, hex",)),
    "query with brackets": ({"files": {"image": DATA}, "params": {"tags[]": ["a", "b"]}}, ("a", "b")),
    "query with both names of tags": (
        {"files": {"image": DATA}, "params": {"tags": "a,b", "tags[]": "c"}},
        tuple("abc"),
    ),
    "query with both names of tags, several times": (
        {"files": {"image": DATA}, "params": {"tags[]": ["a", "b"], "tags": ["c", "d"]}},
        tuple("cdab"),
    ),
    "form with both names of tags": ({"files": {"image": DATA}, "data": {"tags": ["a"], "tags[]": ["b"]}}, tuple("ab")),
    "json list, whose items stay whole": ({"json": {"image": TEXT, "tags": ["nut, hex", " a "]}}, ("nut, hex", "a")),
    "json with nulls": (
        {"json": {"image": TEXT, "tags": None, "min_score": None, "mask_format": None, "explain": None}},
        (),
    ),
    "image": ({"content": DATA, "headers": {"content-type": "image/jpeg"}}, ()),
    "image, its type in capitals and with a parameter": (
        {"content": DATA, "headers": {"content-type": "IMAGE/JPEG; q=1"}},
        (),
    ),
    "bytes": ({"content": DATA, "headers": {"content-type": "application/octet-stream"}}, ()),
    "image and query": (
        {"content": DATA, "headers": {"content-type": "image/png"}, "params": {"tags": ["a", " b ,c"]}},
        ("a", "b", "c"),
    ),
    "json": ({"json": {"image": TEXT, "tags": ["a", "b"]}}, ("a", "b")),
    "json with one string of tags": ({"json": {"image": TEXT, "tags": "a, b"}}, ("a", "b")),
    "json in lines of 76 characters": ({"json": {"image": base64.encodebytes(DATA).decode()}}, ()),
    "json with a data uri": ({"json": {"image": f"data:image/png;base64,{TEXT}"}}, ()),
    "json over query": ({"json": {"image": TEXT, "tags": "a"}, "params": {"tags": "b"}}, ("a",)),
    "query beside a form": ({"files": {"image": DATA}, "params": {"tags": "b"}}, ("b",)),
}
BAD: dict[str, tuple[Sent, str, str]] = {
    "an option sent twice": (
        {"files": {"image": DATA}, "data": {"mask_format": ["rle", "png"]}},
        "invalid_request",
        'mask_format is ["rle", "png"]: must be',
    ),
    "an option sent twice in the query": (
        {"files": {"image": DATA}, "params": {"min_score": ["0.1", "0.9"]}},
        "invalid_request",
        'min_score is ["0.1", "0.9"]: send it once',
    ),
    "an option that stands twice in json": (
        {"content": f'{{"image":"{TEXT}","tags":["a"],"min_score":1,"tags":["b"]}}'}
        | {"headers": {"content-type": "application/json"}},
        "invalid_request",
        "tags stands 2 times in one JSON object: send it once",
    ),
    "a member that stands twice within json": (
        {"content": f'{{"image":"{TEXT}","tags":[{{"a":1,"a":{"9" * 4300}}}]}}'}
        | {"headers": {"content-type": "application/json"}},
        "invalid_request",
        "a stands 2 times in one JSON object: send it once",
    ),
    "json that is not in UTF-8": (
        {"content": f'{{"image":"{TEXT}","tags":["Öse"]}}'.encode("latin-1")}
        | {"headers": {"content-type": "application/json"}},
        "invalid_request",
        "send one JSON object in UTF-8",
    ),
    "true in place of a score": (
        {"json": {"image": TEXT, "min_score": True}},
        "invalid_request",
        "min_score is true: must be a number, not true or false",
    ),
    "true in place of a count": (
        {"json": {"image": TEXT, "max_detections": True}},
        "invalid_request",
        "max_detections is true: must be a number, not true or false",
    ),
    "true in place of a fidelity": (
        {"json": {"image": TEXT, "min_fidelity": True}},
        "invalid_request",
        "min_fidelity is true: must be a number, not true or false",
    ),
    "half a json list in a form": (
        {"files": {"image": DATA}, "data": {"tags": '["wire'}},
        "invalid_request",
        "is no JSON list of strings: send",
    ),
    "a json list of numbers in a query": (
        {"files": {"image": DATA}, "params": {"tags": "[1]"}},
        "invalid_request",
        "is no JSON list of strings: send",
    ),
    "a json list that is too deep in a form": (
        {"files": {"image": DATA}, "data": {"tags": "[" * 3000}},
        "invalid_request",
        "is no JSON list of strings: send",
    ),
    "a json list that is too deep in a query": (
        {"files": {"image": DATA}, "params": {"tags": "[" * 3000}},
        "invalid_request",
        "is no JSON list of strings: send",
    ),
    "a json list that is too deep in a text of json": (
        {"json": {"image": TEXT, "tags": "[" * 3000}},
        "invalid_request",
        "is no JSON list of strings: send",
    ),
    "json without an image but null": (
        {"json": {"image": None}},
        "invalid_request",
        "image is null: must be a text",
    ),
    "a form in no charset": (
        {"content": b"--x\r\n\r\n--x--"}
        | {"headers": {"content-type": "multipart/form-data; boundary=x; charset=undefined"}},
        "invalid_request",
        "the form cannot be read",
    ),
    "a type of curl --data": (
        {"content": DATA, "headers": {"content-type": "application/x-www-form-urlencoded"}},
        "unsupported_media_type",
        "application/x-www-form-urlencoded",
    ),
    "form without image": ({"data": {"tags": "a"}, "files": {"picture": DATA}}, "invalid_request", "image is missing"),
    "image as text": (
        {"content": b'--x\r\nContent-Disposition: form-data; name="image"\r\n\r\nabc\r\n--x--\r\n'}
        | {"headers": {"content-type": "multipart/form-data; boundary=x"}},
        "invalid_request",
        "send it as a file, with curl as -F image=@FILE",
    ),
    "two images": (
        {"files": [("image", DATA), ("image", DATA)]},
        "invalid_request",
        "image is sent 2 times: send it once, as a file",
    ),
    "an image as text and one as a file": (
        {"content": PART % (b"image", b"abc") + FILE_PART % DATA + b"\r\n--x--\r\n", "headers": FORM},
        "invalid_request",
        "image is sent 2 times: send it once, as a file",
    ),
    "a form that ends in its last field": (
        {"content": FILE_PART % DATA + b"\r\n" + (PART % (b"tags", b"nut"))[:-2], "headers": FORM},
        "invalid_request",
        "the form has no end",
    ),
    "a form that ends in the image": (
        {"content": FILE_PART % DATA, "headers": FORM},
        "invalid_request",
        "the form has no end",
    ),
    "a form that ends in a large image": (
        {"content": FILE_PART % bytes(2**21), "headers": FORM},
        "invalid_request",
        "the form has no end",
    ),
    "form without boundary": (
        {"content": DATA, "headers": {"content-type": "multipart/form-data"}},
        "invalid_request",
        "the form cannot be read",
    ),
    "json that is none": (
        {"content": b"{", "headers": {"content-type": "application/json"}},
        "invalid_request",
        "the body is not JSON",
    ),
    "json too deep": (
        {"content": b"[" * 10_000, "headers": {"content-type": "application/json"}},
        "invalid_request",
        "the body is not JSON: too many brackets within brackets",
    ),
    "json that is a list": ({"json": [1]}, "invalid_request", "must be a JSON object"),
    "json without image": ({"json": {}}, "invalid_request", "image is missing"),
    "json with broken base64": (
        {"json": {"image": "a*b"}},
        "invalid_request",
        "image is 'a*b', which is not base64",
    ),
    "json with a data uri that is not base64": (
        {"json": {"image": "data:image/png,AAAA"}},
        "invalid_request",
        "is a data URI without base64: write data:image/png;base64,...",
    ),
    "json with a number as image": (
        {"json": {"image": 5}},
        "invalid_request",
        "image is 5: must be a text in base64",
    ),
    "json with a number as tags": (
        {"json": {"image": TEXT, "tags": 5}},
        "invalid_request",
        "tags is 5: must be a list",
    ),
    "json with a long tag": (
        {"json": {"image": TEXT, "tags": ["x" * 201]}},
        "invalid_request",
        "tags[0]: must have at most 200 characters",
    ),
    "unknown option": (
        {"files": {"image": DATA}, "data": {"min_scores": "1"}},
        "invalid_request",
        "min_scores is not known here: choose from mask_format, ",
    ),
    "option out of range": (
        {"files": {"image": DATA}, "data": {"min_score": "1.5"}},
        "invalid_request",
        "min_score is '1.5': must be at most 1",
    ),
    "a mask format of a later release": (
        {"files": {"image": DATA}, "params": {"mask_format": "polygons"}},
        "invalid_request",
        "mask_format is 'polygons': must be 'rle', 'polygon', 'png' or 'none'",
    ),
}


@pytest.fixture
def app() -> FastAPI:
    made = FastAPI()
    add_problem_handlers(made)

    @made.post("/")
    async def echo(request: Request, query: Annotated[DetectFields, Query()]) -> dict[str, Any]:
        asked = await read_request(request, query, upload_s=30)
        return {"image": asked.image.hex(), "tags": asked.tags}

    return made


async def send(app: FastAPI, sent: Sent) -> httpx.Response:
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://t") as client:
        return await client.post("/", **sent)


@pytest.mark.parametrize(("sent", "tags"), GOOD.values(), ids=list(GOOD))
async def test_every_way_of_sending_says_the_same(app: FastAPI, sent: Sent, tags: tuple[str, ...]) -> None:
    answer = await send(app, sent)
    assert answer.json() == {"image": DATA.hex(), "tags": list(tags)}


@pytest.mark.parametrize(("sent", "code", "sentence"), BAD.values(), ids=list(BAD))
async def test_what_is_wrong_is_named(app: FastAPI, sent: Sent, code: str, sentence: str) -> None:
    problem = (await send(app, sent)).json()
    assert problem["code"] == code
    assert sentence in problem["detail"]
    assert "Value error" not in problem["detail"]
    assert "errors" in problem or "`errors`" not in problem["remedy"]


async def test_an_unknown_option_is_told_which_there_are(app: FastAPI) -> None:
    in_query = (await send(app, {"files": {"image": DATA}, "params": {"min_scores": "1"}})).json()
    assert in_query["errors"] == [
        {"field": "min_scores", "message": f"is not known here: choose from {', '.join(DetectFields.model_fields)}"}
    ]
    in_body = (await send(app, {"json": {"image": TEXT, "min_scores": 1}})).json()
    assert in_body["detail"].startswith("min_scores is not known here: choose from ")
    assert {"image", "tags"} <= set(in_body["detail"].partition("from ")[2].split(", "))


async def test_unknown_members_without_end_are_answered_with_twenty(
    app: FastAPI, monkeypatch: pytest.MonkeyPatch
) -> None:
    counted: list[int] = []

    def validated(kind: type[Any], values: dict[str, Any]) -> Any:
        counted.append(len(values))
        return validate(kind, values)

    validate = request_body._validated
    monkeypatch.setattr(request_body, "_validated", validated)
    answer = await send(app, {"json": {"image": TEXT} | {str(number): 0 for number in range(100_000)}})
    assert answer.status_code == 422
    assert len(answer.json()["errors"]) == 20
    assert counted == [21], "pydantic sees no more than that"


LIMIT = 10
BODIES: dict[str, tuple[list[bytes], list[tuple[bytes, bytes]], bool]] = {
    "at the limit": ([b"12345", b"67890"], [], True),
    "one byte more": ([b"12345", b"678901"], [], False),
    "many chunks": ([b"1"] * 50, [], False),
    "declared at the limit": ([b"1234567890"], [(b"content-length", b"10")], True),
    "declared too large": ([], [(b"content-length", b"11")], False),
    "declared too small": ([b"1" * 11], [(b"content-length", b"5")], False),
}


@pytest.mark.parametrize(("chunks", "headers", "passes"), BODIES.values(), ids=list(BODIES))
async def test_the_limit_counts_what_arrives_and_believes_what_is_declared(
    chunks: list[bytes], headers: list[tuple[bytes, bytes]], passes: bool
) -> None:
    taken: list[bytes] = []

    async def reads_all(scope: Scope, receive: Callable[[], Any], send: object) -> None:
        more = True
        while more:
            message = await receive()
            taken.append(message["body"])
            more = message["more_body"]

    messages = [{"type": "http.request", "body": chunk, "more_body": True} for chunk in chunks]
    messages.append({"type": "http.request", "body": b"", "more_body": False})

    async def receive() -> Message:
        return messages.pop(0)

    async def no_answer(_: Message) -> None:
        raise AssertionError

    limited = BodyLimit(reads_all, LIMIT, 10 * LIMIT)
    call = limited({"type": "http", "headers": headers}, receive, no_answer)
    if passes:
        await call
        assert b"".join(taken) == b"".join(chunks)
    else:
        with pytest.raises(BodyTooLarge, match="larger than the limit of 10 bytes"):
            await call
        assert len(b"".join(taken)) <= LIMIT


async def test_bodies_together_have_a_bound_and_give_their_room_back() -> None:
    entered, leave = asyncio.Semaphore(0), asyncio.Event()

    async def holds_its_body(scope: Scope, receive: Callable[[], Any], send: object) -> None:
        await receive()
        entered.release()
        await leave.wait()

    async def receive() -> Message:
        return {"type": "http.request", "body": b"x" * 8, "more_body": False}

    async def no_answer(_: Message) -> None:
        raise AssertionError

    limited = BodyLimit(holds_its_body, LIMIT, upload_bytes=20)
    declared: Scope = {"type": "http", "headers": [(b"content-length", b"8")]}
    chunked: Scope = {"type": "http", "headers": [(b"transfer-encoding", b"chunked")]}
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(limited(declared, receive, no_answer))
        tasks.create_task(limited(declared, receive, no_answer))
        await entered.acquire()
        await entered.acquire()
        for refused in (declared, chunked):
            with pytest.raises(Busy) as error:
                await limited(refused, receive, no_answer)
            assert error.value.retry_after_s == 1
        leave.set()
    await limited(chunked, receive, no_answer)
