"""Asynchronous client of the service, and its errors.

ClientError
├── RequestRefused (ValueError)          4xx: the request is wrong, or the key's rate is still used up
├── ServerFailed                         5xx, or still busy after the last attempt
└── ServerUnreachable (ConnectionError)  no response at all after the last attempt
"""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Self, TypeVar

import httpx
from pydantic import BaseModel

from weaksam.client_limit import AdaptiveLimit
from weaksam.schemas import DetectResult, LabelsResponse, MaskFormat

UnknownTags = Literal["error", "skip"]
Document = TypeVar("Document", bound=BaseModel)

# A slow line, key used up for now, restarting behind a proxy, busy, past its deadline: worth asking again later.
WORTH_ANOTHER_ATTEMPT = frozenset({408, 429, 502, 503, 504})


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
    """The service failed on this request (5xx), or something else responds at its address."""


class ServerUnreachable(ClientError, ConnectionError):
    """There is no connection, it was cut, or no response came in time."""


@dataclass(frozen=True)
class RetryPolicy:
    """How often and how soon a request is sent again.

    Attributes:
        attempts: how many times one request is sent at most.
        first_wait_s: longest wait after the first failure; it doubles with each further one.
        max_wait_s: no wait is longer, whatever Retry-After says.
    """

    attempts: int = 6
    first_wait_s: float = 0.5
    max_wait_s: float = 60.0

    def wait_s(self, attempt: int, retry_after_s: float | None) -> float:
        """Return the seconds to wait after attempt number `attempt`, counted from 1, has failed."""
        # Jitter, so that clients that failed together do not come back together. The wait may exceed Retry-After:
        # a service may say one second for minutes, and that must not use up all attempts.
        doubled_s = self.first_wait_s * 2 ** (attempt - 1) * random.uniform(0.5, 1.0)
        asked_s = (retry_after_s or 0.0) * random.uniform(1.0, 1.5)
        return float(min(max(doubled_s, asked_s), self.max_wait_s))


class AsyncClient:
    """Sends images with tags to a service. Many tasks of one event loop may share one client.

    ```python
    async with AsyncClient("http://127.0.0.1:8000") as client:
        result = await client.detect(Path("bench.jpg"), ["wrench", "bolt"], min_score=0.3)
    ```

    Args:
        base_url: address of the service, such as `http://127.0.0.1:8000`.
        timeout_s: how long one attempt may go without a response, in seconds.
        max_concurrent: requests in flight at once; halved whenever the service says that it is busy.
        retry: how often and how soon a request is sent again.
        api_key: key of a service that wants one.

    Raises:
        ValueError: `base_url` is no URL, or `max_concurrent` is below 1.
    """

    def __init__(
        self,
        base_url: str,
        *,
        timeout_s: float = 60.0,
        max_concurrent: int = 4,
        retry: RetryPolicy | None = None,
        api_key: str | None = None,
    ) -> None:
        if not base_url.startswith(("http://", "https://")):
            raise ValueError(f"server must be a URL such as http://127.0.0.1:8000, got {base_url!r}")
        self.base_url = base_url.rstrip("/")
        self._limit = AdaptiveLimit(max_concurrent)
        self._retry = retry or RetryPolicy()
        self._http = httpx.AsyncClient(
            base_url=self.base_url,
            headers={} if api_key is None else {"Authorization": f"Bearer {api_key}"},
            timeout=timeout_s,
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
        explain: bool = False,
        unknown_tags: UnknownTags = "error",
    ) -> DetectResult:
        """Find the tagged things in one image.

        Args:
            image: path of an image file, or its bytes.
            tags: what is in the image. Without tags the classifier proposes them.
            mask_format: `rle` (COCO run lengths), `polygon`, `png`, or `none`.
            min_fidelity: minimum IoU of polygons with their mask; None: the service's default.
            min_score: minimum score of a detection; None: the threshold calibrated for its class.
            max_detections: maximum number of detections; None: the service's limit.
            explain: also return the peaks and proposals behind the result.
            unknown_tags: `error` refuses a tag that is no label, `skip` lists it as unknown.

        Returns:
            Detections, best first, and one row for each tag. Boxes are half-open x0,y0,x1,y1 in pixels of the
            upright image.

        Raises:
            OSError: the file `image` cannot be read.
            RequestRefused: the request is wrong: an unknown tag, no image, a missing key.
            ServerFailed: the service failed, or is still busy after the last attempt.
            ServerUnreachable: no response after the last attempt.
        """
        name, data = await _content(image)
        options = {
            "mask_format": mask_format,
            "min_fidelity": min_fidelity,
            "min_score": min_score,
            "max_detections": max_detections,
            "explain": str(explain).lower(),
            "unknown_tags": unknown_tags,
        }
        given = {option: str(value) for option, value in options.items() if value is not None}
        # A detection changes nothing on the server, so this POST may be sent twice.
        response = await self._send(
            "POST", "/detect", data={"tags": _form_tags(tags), **given}, files={"image": (name, data)}
        )
        return _document(response, DetectResult)

    async def labels(self) -> LabelsResponse:
        """Return the labels of the service's bundle, in its order, and which bundle it is.

        Raises:
            ClientError: as `detect`.
        """
        return _document(await self._send("GET", "/labels"), LabelsResponse)

    async def alive(self) -> bool:
        """Tell if the service responds at all, asked once."""
        try:
            response = await self._http.get("/livez")
        except httpx.TransportError:
            return False
        return response.is_success

    async def _send(self, method: str, path: str, **content: Any) -> httpx.Response:
        for attempt in range(1, self._retry.attempts + 1):
            async with self._limit.slot() as started_s:
                outcome = await self._attempt(method, path, content)
            if isinstance(outcome, httpx.Response) and outcome.status_code not in WORTH_ANOTHER_ATTEMPT:
                self._limit.responded()
                break
            wait_s = self._retry.wait_s(attempt, _retry_after_s(outcome))
            self._limit.busy(started_s, wait_s)
        return self._accepted(outcome)

    async def _attempt(self, method: str, path: str, content: dict[str, Any]) -> httpx.Response | httpx.TransportError:
        try:
            return await self._http.request(method, path, **content)
        except httpx.TransportError as error:
            return error

    def _accepted(self, outcome: httpx.Response | httpx.TransportError) -> httpx.Response:
        if isinstance(outcome, httpx.TransportError):
            reason = str(outcome) or type(outcome).__name__
            raise ServerUnreachable("unreachable", f"{self.base_url} gives no answer: {reason}") from outcome
        if outcome.is_success:
            return outcome
        code, detail = _problem(outcome)
        kind = RequestRefused if outcome.is_client_error else ServerFailed
        raise kind(code, detail)


def _form_tags(tags: Sequence[str]) -> list[str] | str:
    """Return tags as form fields; as one JSON list if the service would split a tag at its comma."""
    return json.dumps(list(tags)) if any("," in tag or tag.lstrip().startswith("[") for tag in tags) else list(tags)


async def _content(image: Path | bytes) -> tuple[str, bytes]:
    if isinstance(image, bytes):
        return "image", image
    # The name of a file need not be text.
    return image.name.encode(errors="replace").decode(), await asyncio.to_thread(image.read_bytes)


def _document(response: httpx.Response, kind: type[Document]) -> Document:
    try:
        # A newer service may say more than this client knows.
        return kind.model_validate_json(response.content, extra="ignore")
    except ValueError as error:
        detail = f"{response.url} does not respond as this service does: check the address"
        raise ServerFailed("not_the_service", detail) from error


def _problem(response: httpx.Response) -> tuple[str, str]:
    """Return code and sentence of a problem+json body, or of the bare status of a proxy."""
    try:
        body = response.json()
        return str(body["code"]), str(body.get("detail") or body["title"])
    except (ValueError, KeyError, TypeError, AttributeError):
        return (
            f"http_{response.status_code}",
            f"{response.url} responded {response.status_code} {response.reason_phrase}",
        )


def _retry_after_s(outcome: httpx.Response | httpx.TransportError) -> float | None:
    """Return the seconds of the Retry-After header, a number or a date; None if it is absent or neither."""
    text = outcome.headers.get("retry-after") if isinstance(outcome, httpx.Response) else None
    if text is None:
        return None
    if text.isascii() and text.isdigit():
        return float(text)
    try:
        return max(0.0, (parsedate_to_datetime(text) - datetime.now(UTC)).total_seconds())
    except (ValueError, TypeError):
        return None
