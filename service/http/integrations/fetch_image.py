"""The bytes of an image that a labelling tool names by a URL."""

from __future__ import annotations

import asyncio
import base64
import binascii
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from urllib.parse import unquote_to_bytes, urljoin

from service.errors import ImageUnreachable, ImageUrlRefused
from service.http.integrations.guarded_http import GuardedHttp, HttpResponse, Origin, parse_url

MAX_REDIRECTS = 5
REDIRECTS = frozenset({301, 302, 303, 307, 308})


@dataclass(frozen=True)
class Credentials:
    """What one origin, and no other, is sent as `Authorization`."""

    origin: Origin
    header: Callable[[], Awaitable[str]]


class ImageFetcher:
    """Fetches images within the rules of `http`, each redirect included.

    Args:
        http: checks hosts, addresses and bytes.
        timeout_s: longest time for one image, redirects included.
        credentials: of the tool that the images lie in; None if it needs none.
    """

    def __init__(self, http: GuardedHttp, timeout_s: float, credentials: Credentials | None = None) -> None:
        self._http = http
        self._timeout_s = timeout_s
        self._credentials = credentials

    async def fetch(self, url: str) -> bytes:
        """Return the bytes at an http, https or data URL.

        Raises:
            ImageUrlRefused: the URL, its host or a redirect is not allowed.
            ImageUnreachable: there is no such image, or it does not arrive in time.
            BodyTooLarge: it has too many bytes.
        """
        if url[:5].lower() == "data:":
            return _decode_data_url(url)
        try:
            async with asyncio.timeout(self._timeout_s) as limit:
                return await self._follow(url)
        except TimeoutError as error:
            if not limit.expired():
                raise
            raise ImageUnreachable(
                f"the image did not arrive from {parse_url(url)[1]} within {self._timeout_s:g} s"
            ) from error

    async def _follow(self, url: str) -> bytes:
        for _ in range(MAX_REDIRECTS + 1):
            response = await self._get(url)
            location = response.headers.get("location")
            if response.status not in REDIRECTS or location is None:
                return _body(response, url)
            url = _joined(url, location)
        raise ImageUnreachable(f"the image is behind more than {MAX_REDIRECTS} redirects")

    async def _get(self, url: str) -> HttpResponse:
        _, origin = parse_url(url)
        headers = {}
        if self._credentials is not None and origin == self._credentials.origin:
            headers["Authorization"] = await self._credentials.header()
        return await self._http.request("GET", url, headers)


def _joined(url: str, location: str) -> str:
    try:
        return urljoin(url, location)
    except ValueError as error:
        raise ImageUrlRefused(f"{parse_url(url)[1]} redirects to what is no URL ({error})") from error


def _body(response: HttpResponse, url: str) -> bytes:
    if response.status == 200:
        return response.body
    hint = ": check the token of the tool it lies in" if response.status in {401, 403} else ""
    raise ImageUnreachable(f"{parse_url(url)[1]} responded {response.status} to the request for the image{hint}")


def _decode_data_url(url: str) -> bytes:
    head, comma, text = url.partition(",")
    if not comma:
        raise ImageUrlRefused("the image's address is a data URL without a comma")
    data = unquote_to_bytes(text)
    if not head.lower().endswith(";base64"):
        return data
    try:
        return base64.b64decode(data)
    except binascii.Error as error:
        raise ImageUrlRefused(f"the image's address is a data URL that is not base64 ({error})") from error
