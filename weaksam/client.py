"""Asynchronous client of the service, and its errors.

ClientError
├── RequestRefused (ValueError)          4xx: the request is wrong, or the key's rate is still used up
├── ServerFailed                         5xx, a redirect, or still busy after the last attempt
└── ServerUnreachable (ConnectionError)  no response at all after the last attempt
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Self, TypeVar

import httpx
from pydantic import BaseModel

from weaksam.client_limit import AdaptiveLimit
from weaksam.connection import (
    authorization,
    code_and_cause,
    is_lasting,
    positive_timeout_s,
    problem_of,
    proxy_for,
    send_once,
    service_url,
    tls_context,
    unlike,
)
from weaksam.image_bytes import named_image
from weaksam.mask_schemas import MaskFormat
from weaksam.retry import RetryPolicy, retry_after_s
from weaksam.schemas import DetectResult, Effort, LabelsResponse
from weaksam.segment_schemas import PixelBox, Point, SegmentResult
from weaksam.tag_texts import form_tags

UnknownTags = Literal["error", "skip"]
Document = TypeVar("Document", bound=BaseModel)

# The key's rate is used up, or the service is busy: nothing else would be accepted either.
BUSY_FOR_ALL = frozenset({429, 503})
# A slow line, a restart behind a proxy, a deadline: trouble of this request, the others go on.
WORTH_ANOTHER_ATTEMPT = BUSY_FOR_ALL | {408, 502, 504}

MAX_TAG_FIELDS = 100


class ClientError(Exception):
    """The service gave no usable response.

    Attributes:
        code: stable name of the error, such as `unknown_tag`, for programs.
    """

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


class RequestRefused(ClientError, ValueError):
    """The service refuses this request (4xx): what was sent is wrong, or the key's rate is used up."""


class ServerFailed(ClientError):
    """The service failed on this request (5xx), redirects it, or something else responds at its address."""


class ServerUnreachable(ClientError, ConnectionError):
    """There is no connection, it was cut, or no response came in time."""


class AsyncClient:
    """Sends images with tags to a service. Many tasks of one event loop may share one client.

    ```python
    async with AsyncClient("http://127.0.0.1:8000") as client:
        result = await client.detect(Path("bench.jpg"), ["wrench", "bolt"], min_score=0.3)
    ```

    Args:
        base_url: address of the service, such as `http://127.0.0.1:8000`.
        timeout_s: longest wait for one whole response, in seconds, once the request is sent.
        max_concurrent: requests in flight at once; halved whenever the service says that it is busy.
        retry: how often and how soon a request is sent again.
        api_key: key of a service that wants one.
        ca_file: PEM file of the authorities to trust for https, in place of the usual ones.

    Raises:
        UserError: `base_url` is no URL, or another option, the proxy or the certificates cannot be used.
    """

    def __init__(
        self,
        base_url: str,
        *,
        timeout_s: float = 60.0,
        max_concurrent: int = 4,
        retry: RetryPolicy | None = None,
        api_key: str | None = None,
        ca_file: Path | None = None,
    ) -> None:
        url = service_url(base_url)
        self.base_url = str(url)
        self._timeout_s = positive_timeout_s(timeout_s)
        self._limit = AdaptiveLimit(max_concurrent)
        self._retry = retry or RetryPolicy()
        self._http = httpx.AsyncClient(
            base_url=self.base_url,
            headers=authorization(api_key),
            timeout=timeout_s,
            verify=tls_context(ca_file),
            proxy=proxy_for(url),
            trust_env=False,  # it was read above: httpx raises errors of its own for a NO_PROXY that it cannot parse
            # One more than there are requests, so that `alive` never waits for one of them.
            limits=httpx.Limits(max_connections=max_concurrent + 1),
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Close the connections."""
        await self._http.aclose()

    async def detect(
        self,
        image: Path | bytes,
        tags: Sequence[str],
        *,
        mask_format: MaskFormat = "rle",
        min_fidelity: float | None = None,
        min_score: float | None = None,
        max_detections: int | None = None,
        effort: Effort | None = None,
        zoom: bool | None = None,
        explain: bool = False,
        unknown_tags: UnknownTags = "error",
    ) -> DetectResult:
        """Find the tagged objects in one image.

        Args:
            image: path of an image file, or its bytes.
            tags: what is in the image. Without tags the models propose them.
            mask_format: `rle` (COCO run lengths), `polygon`, `png`, or `none`.
            min_fidelity: minimum IoU of polygons with their mask; None: the service's default.
            min_score: minimum score of a detection; None: the threshold calibrated for its class.
            max_detections: maximum number of detections; None: the service's limit.
            effort: `fast` or `full`, which looks for every tag in both ways; None: the bundle's default.
            zoom: whether small objects are looked at again, enlarged, for better masks; None: the service's default.
            explain: also return the peaks and proposals behind the result.
            unknown_tags: `error` refuses a tag that is no label, `skip` lists it as unknown.

        Returns:
            Detections, best first, and a row for each tag. Boxes: half-open x0,y0,x1,y1, pixels of the upright image.

        Raises:
            OSError: the file `image` cannot be read.
            RequestRefused: the request is wrong: an unknown tag, no image, a missing key.
            ServerFailed: the service failed, or is still busy after the last attempt.
            ServerUnreachable: no response after the last attempt.
        """
        name, data = await named_image(image)
        options = {
            "mask_format": mask_format,
            "min_fidelity": min_fidelity,
            "min_score": min_score,
            "max_detections": max_detections,
            "effort": effort,
            "zoom": zoom,
            "explain": explain,
            "unknown_tags": unknown_tags,
        }
        # A detection changes nothing on the server, so this POST may be sent twice.
        fields = {"tags": _sendable(tags), **_form(options)}
        response = await self._send("POST", "/detect", data=fields, files={"image": (name, data)})
        return _document(response, DetectResult)

    async def segment(
        self,
        image: Path | bytes | str,
        *,
        points: Sequence[Point] = (),
        box: PixelBox | None = None,
        mask_format: MaskFormat = "rle",
        zoom: bool | None = None,
    ) -> SegmentResult:
        """Find the masks that points and a box of one object may mean.

        Args:
            image: path of an image file, its bytes, or `image.sha256` of an earlier result, which is faster.
            points: x, y in pixels of the upright image, and 1 on the object or 0 off it.
            box: half-open x0, y0, x1, y1 in the same pixels.
            mask_format: as in `detect`.
            zoom: as in `detect`.

        Returns:
            One mask for each level of the mask decoder, by falling predicted IoU.

        Raises:
            ClientError: as `detect`; its code is `image_not_cached` if the digest is not known, or not any longer.
        """
        prompt = {"points": list(points), "box": box, "mask_format": mask_format, "zoom": zoom}
        if isinstance(image, str):
            # As a form with no file in it would be sent as another media type.
            sent = await self._send("POST", "/segment", json={"image_sha256": image, **prompt})
        else:
            name, data = await named_image(image)
            sent = await self._send("POST", "/segment", data=_form(prompt), files={"image": (name, data)})
        return _document(sent, SegmentResult)

    async def labels(self) -> LabelsResponse:
        """Return the labels of the service's bundle, in its order, and which bundle it is.

        Raises:
            ClientError: as `detect`.
        """
        return _document(await self._send("GET", "/labels"), LabelsResponse)

    async def alive(self) -> bool:
        """Tell if the service responds at all, asked once."""
        try:
            await self.reach()
        except ClientError:
            return False
        return True

    async def reach(self) -> None:
        """Ask once if the service responds at all.

        Raises:
            ClientError: it does not; the message says what stands in between.
        """
        outcome = await send_once(self._http, "GET", "/livez", {}, self._timeout_s)
        if isinstance(outcome, httpx.Response) and outcome.status_code == HTTPStatus.NOT_FOUND:
            raise ServerFailed("not_the_service", f"{outcome.url} is not there: give the service's address alone")
        self._accepted(outcome)

    async def _send(self, method: str, path: str, **content: Any) -> httpx.Response:
        for attempt in range(1, self._retry.attempts + 1):
            async with self._limit.slot() as started_s:
                outcome = await send_once(self._http, method, path, content, self._timeout_s)
            if isinstance(outcome, httpx.Response) and outcome.status_code not in WORTH_ANOTHER_ATTEMPT:
                self._limit.responded()
                break
            last = attempt == self._retry.attempts
            wait_s = 0.0 if last else self._retry.wait_s(attempt, retry_after_s(outcome))
            if isinstance(outcome, httpx.Response) and outcome.status_code in BUSY_FOR_ALL:
                self._limit.busy(started_s, wait_s)
            elif last or is_lasting(outcome):
                break
            else:
                await asyncio.sleep(wait_s)  # outside of the slot: the other requests go on
        return self._accepted(outcome)

    def _accepted(self, outcome: httpx.Response | httpx.RequestError) -> httpx.Response:
        if isinstance(outcome, httpx.RequestError):
            code, cause = code_and_cause(outcome)
            raise ServerUnreachable(code, f"{self.base_url} cannot be reached: {cause}") from outcome
        if outcome.is_success:
            return outcome
        if outcome.has_redirect_location:
            raise ServerFailed(
                "redirected", f"{outcome.url} redirects to {outcome.headers['location']}: give that address"
            )
        code, detail = problem_of(outcome)
        kind = RequestRefused if outcome.is_client_error else ServerFailed
        raise kind(code, detail)


def _form(options: Mapping[str, Any]) -> dict[str, str]:
    """Return the fields of a form: texts as they are, everything else as JSON, without what is None."""
    given = {name: value for name, value in options.items() if value is not None}
    return {name: value if isinstance(value, str) else json.dumps(value) for name, value in given.items()}


def _sendable(tags: Sequence[str]) -> list[str] | str:
    try:
        sendable = form_tags(tags)
    except ValueError as error:
        raise RequestRefused("invalid_request", f"tags: {error}") from error
    # Servers bound the fields of a form: it is for the service to say that there are too many tags.
    return json.dumps(sendable) if len(sendable) > MAX_TAG_FIELDS and not isinstance(sendable, str) else sendable


def _document(response: httpx.Response, kind: type[Document]) -> Document:
    try:
        # A newer service may say more than this client knows.
        return kind.model_validate_json(response.content, extra="ignore")
    except ValueError as error:
        raise ServerFailed("not_the_service", f"{response.url} {unlike(error)}") from error
