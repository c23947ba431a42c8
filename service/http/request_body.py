"""A request's body, sent as a form, as the image itself or as JSON, read into one schema."""

from __future__ import annotations

import asyncio
import codecs
import itertools
import json
from collections import Counter
from collections.abc import AsyncGenerator, Coroutine, Mapping
from contextlib import aclosing
from typing import Any, TypeVar

import pydantic_core
from pydantic import BaseModel, ValidationError
from python_multipart.multipart import parse_options_header
from starlette.datastructures import FormData, QueryParams, UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.requests import ClientDisconnect, Request

from service.errors import ClientGone, InvalidRequest, UnsupportedMediaType, UploadTimeout
from service.http.validation import MAX_FINDINGS, invalid_request
from weaksam.findings import json_words
from weaksam.mask_schemas import MaskOptions
from weaksam.schemas import TAG_FIELDS, AnyRequest, DetectFields, DetectRequest, JsonDetectRequest
from weaksam.segment_schemas import AnySegmentRequest, JsonSegmentRequest, SegmentRequest

AS_TEXT = "was sent as text: send it as a file, with curl as -F image=@FILE"

Body = TypeVar("Body")
Schema = TypeVar("Schema", bound=BaseModel)


async def read_request(request: Request, query: DetectFields, upload_s: float) -> AnyRequest:
    """Read a request however it was sent. An option in the body overrides the same option in the query.

    Args:
        upload_s: longest time for the body to arrive.

    Raises:
        UnsupportedMediaType, InvalidRequest, BodyTooLarge: the body is wrong.
        UploadTimeout: the body has not arrived in time.
        Busy: there is no memory for the body.
        ClientGone: the client closed the connection.
    """
    _refuse_repeats(request.query_params)
    return _with_query(await _read_body(request, upload_s), query)


async def read_json(request: Request, schema: type[Schema], upload_s: float) -> Schema:
    """Read a JSON object; errors as `read_request`."""
    media_type = _media_type(request)
    if media_type != "application/json":
        raise UnsupportedMediaType(f"Content-Type is {media_type!r}: send application/json")
    return await asyncio.to_thread(_read_json, schema, await _arrived(request.body(), upload_s))


async def read_segment_request(request: Request, query: MaskOptions, upload_s: float) -> AnySegmentRequest:
    """Read the form or the JSON of `POST /segment`; the query and errors as `read_request`."""
    _refuse_repeats(request.query_params)
    return _with_query(await _read_segment_body(request, upload_s), query)


async def _read_segment_body(request: Request, upload_s: float) -> AnySegmentRequest:
    media_type = _media_type(request)
    if media_type == "multipart/form-data":
        return await asyncio.to_thread(_validated, SegmentRequest, await _arrived(_read_form(request), upload_s))
    if media_type == "application/json":
        return await asyncio.to_thread(_read_json, JsonSegmentRequest, await _arrived(request.body(), upload_s))
    raise UnsupportedMediaType(
        f"Content-Type is {media_type!r}: send multipart/form-data with a file `image`, or application/json with "
        "`image` in base64"
    )


def _refuse_repeats(query: QueryParams) -> None:
    """Refuse an option that is sent twice, as a form's schema does: FastAPI takes the last one in silence."""
    texts_of = {name: query.getlist(name) for name in query if name not in TAG_FIELDS}
    repeated = [
        {"loc": (name,), "type": "repeated", "msg": "send it once, not several times", "input": texts}
        for name, texts in texts_of.items()
        if len(texts) > 1
    ]
    if repeated:
        raise invalid_request(repeated)


def _with_query(body: Schema, query: BaseModel) -> Schema:
    missing = query.model_fields_set - body.model_fields_set
    return body.model_copy(update={name: getattr(query, name) for name in missing})


def _media_type(request: Request) -> str:
    coding = request.headers.get("content-encoding", "").strip().lower()
    if coding not in ("", "identity"):
        raise UnsupportedMediaType(f"Content-Encoding is {coding!r}: send the body as it is, without this header")
    return request.headers.get("content-type", "").partition(";")[0].strip().lower()


async def _read_body(request: Request, upload_s: float) -> AnyRequest:
    media_type = _media_type(request)
    if media_type == "multipart/form-data":
        return await asyncio.to_thread(_validated, DetectRequest, await _arrived(_read_form(request), upload_s))
    if media_type == "application/json":
        return await asyncio.to_thread(_read_json, JsonDetectRequest, await _arrived(request.body(), upload_s))
    if media_type.startswith("image/") or media_type == "application/octet-stream":
        return _validated(DetectRequest, {"image": await _arrived(request.body(), upload_s)})
    raise UnsupportedMediaType(
        f"Content-Type is {media_type!r}: send multipart/form-data with a file `image`, the file itself as image/*, "
        "or application/json with `image` in base64"
    )


async def _arrived(body: Coroutine[Any, Any, Body], upload_s: float) -> Body:
    try:
        async with asyncio.timeout(upload_s) as limit:
            return await body
    except ClientDisconnect as error:
        raise ClientGone("the client closed the connection while it was sending the body") from error
    except TimeoutError as error:
        if not limit.expired():
            raise
        raise UploadTimeout(
            f"the body did not arrive within {upload_s:g} s: send it over a faster line, or send a smaller image"
        ) from error


class _FormParser(MultiPartParser):
    """Starlette's parser for more clients, and for whole forms alone: it would lose a part that is cut off in silence.

    A part is a file too if its name is in `filename*` alone, as Java's Spring writes names that are not ASCII, or if it
    is an image by its own Content-Type, as C# sends one without a name.
    """

    def __init__(self, request: Request) -> None:
        super().__init__(request.headers, self._until_end(request.stream()))
        self._ended = False

    def on_headers_finished(self) -> None:
        part = self._current_part
        disposition = part.content_disposition or b""
        typed = any(name == b"content-type" and not value.startswith(b"text/") for name, value in part.item_headers)
        if b"filename" not in (options := parse_options_header(disposition)[1]) and (
            b"filename*" in disposition.lower() or (typed and options.get(b"name") == b"image")
        ):
            part.content_disposition = disposition + b'; filename="file"'
        super().on_headers_finished()

    def on_part_data(self, data: bytes, start: int, end: int) -> None:
        part = self._current_part
        if part.file is None and len(part.data) + end - start > self.max_part_size:
            name = part.field_name
            told = AS_TEXT if name == "image" else f"has more than {self.max_part_size} bytes: send less"
            raise InvalidRequest.of_field(name, told)
        super().on_part_data(data, start, end)

    def on_end(self) -> None:
        self._ended = True

    async def _until_end(self, chunks: AsyncGenerator[bytes, None]) -> AsyncGenerator[bytes, None]:
        async with aclosing(chunks):
            async for chunk in chunks:
                yield chunk
        if not self._ended:
            raise InvalidRequest("the form has no end: its last line, --BOUNDARY--, is missing: send the whole form")


async def _read_form(request: Request) -> dict[str, Any]:
    form = await _parsed_form(request)
    try:
        images = form.getlist("image")
        fields = {name: [await _text(value) for value in form.getlist(name)] for name in form if name != "image"}
        # An option that is sent twice stays a list, which its schema refuses.
        values = {name: texts if name in TAG_FIELDS or len(texts) > 1 else texts[0] for name, texts in fields.items()}
        if not images:
            return values
        if len(images) > 1:
            raise InvalidRequest.of_field("image", f"is sent {len(images)} times: send it once, as a file")
        if isinstance(images[0], str):
            raise InvalidRequest.of_field("image", AS_TEXT)
        return values | {"image": await images[0].read()}
    finally:
        await form.close()


async def _text(value: UploadFile | str) -> str:
    """Return the text of an option: pages send JSON as a file, since a `Blob` of FormData always has a file's name."""
    return value if isinstance(value, str) else (await value.read()).decode(errors="replace")


async def _parsed_form(request: Request) -> FormData:
    parser = _FormParser(request)
    try:
        async with aclosing(parser.stream):
            return await parser.parse()
    except (MultiPartException, UnicodeError) as error:  # UnicodeError: the form names an unknown charset
        raise InvalidRequest(
            f"the form cannot be read: {str(error).rstrip('.')}: send multipart/form-data with one file, `image`, and "
            "each option in a field"
        ) from error


def _read_json(schema: type[Schema], body: bytes) -> Schema:
    text = body.removeprefix(codecs.BOM_UTF8)
    try:
        document = pydantic_core.from_json(text)
    except ValueError as error:
        raise InvalidRequest(f"the body is not JSON: {json_words(error)}: send one JSON object in UTF-8") from error
    if not isinstance(document, dict):
        raise InvalidRequest("the body must be a JSON object, in curly brackets")
    # Once more, since that reader takes the last of two members of one name in silence.
    json.loads(text, object_pairs_hook=_refuse_doubled, parse_int=str, parse_float=str)
    known = schema.model_fields.keys()
    # Pydantic reports each unknown member, and there may be millions.
    unknown = itertools.islice((name for name in document if name not in known), MAX_FINDINGS)
    members: dict[str, Any] = {name: document[name] for name in (*(known & document.keys()), *unknown)}
    return _validated(schema, members)


def _refuse_doubled(members: list[tuple[str, Any]]) -> None:
    if len(dict(members)) == len(members):
        return
    [(name, times)] = Counter(name for name, _ in members).most_common(1)
    # Without its values: what tools send may be secret.
    raise InvalidRequest.of_field(name, f"stands {times} times in one JSON object: send it once")


def _validated(schema: type[Schema], values: Mapping[str, Any]) -> Schema:
    try:
        return schema.model_validate(values)
    except ValidationError as error:
        raise invalid_request(error.errors(), schema.model_fields.keys()) from error
