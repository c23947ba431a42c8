"""What the page asks of the labelling service, passed on with the key that the page never sees."""

from __future__ import annotations

import httpx
from fastapi import Request, Response

from weaksam.connection import code_and_cause, proxy_for, service_url, tls_context
from weaksam.review.errors import BodyTooLarge, ServiceUnreachable

MAX_BODY_BYTES = 64 * 2**20
# Of the browser's own headers, nothing else goes on: no cookies, and no key that a person typed elsewhere.
REQUEST_HEADERS = ("content-type", "accept")
RESPONSE_HEADERS = ("content-type", "retry-after")


class Forwarder:
    """Sends requests to the service.

    Args:
        server: address of the service.
        api_key: key of a service that wants one.
        timeout_s: longest wait for a response.
    """

    def __init__(self, server: str, api_key: str | None, timeout_s: float = 60.0) -> None:
        url = service_url(server)
        self._server = str(url)
        self._client = httpx.AsyncClient(
            headers={} if api_key is None else {"Authorization": f"Bearer {api_key}"},
            timeout=timeout_s,
            verify=tls_context(None),
            proxy=proxy_for(url),
            trust_env=False,
        )

    async def aclose(self) -> None:
        """Close the connections."""
        await self._client.aclose()

    async def forward(self, request: Request, path: str) -> Response:
        """Return the service's response to this request.

        Raises:
            BodyTooLarge: the body has more than `MAX_BODY_BYTES`.
            ServiceUnreachable: there is no response.
        """
        headers = {name: request.headers[name] for name in REQUEST_HEADERS if name in request.headers}
        body = await _body(request)
        try:
            sent = await self._client.request(request.method, f"{self._server}{path}", headers=headers, content=body)
        except httpx.RequestError as error:
            raise ServiceUnreachable(f"{self._server}: {code_and_cause(error)[1]}") from error
        kept = {name: sent.headers[name] for name in RESPONSE_HEADERS if name in sent.headers}
        return Response(sent.content, sent.status_code, kept)


async def _body(request: Request) -> bytes:
    parts, size = [], 0
    async for part in request.stream():
        size += len(part)
        if size > MAX_BODY_BYTES:
            raise BodyTooLarge(f"the body has more than {MAX_BODY_BYTES} bytes")
        parts.append(part)
    return b"".join(parts)
