"""HTTP requests to the hosts that the operator allows, and to no other.

A host name is resolved once, and the connection goes to the address that was checked. So a name that resolves to
another address the next time (DNS rebinding) leads nowhere.
"""

from __future__ import annotations

import asyncio
import ipaddress
import socket
import ssl
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property

import httpcore
import httpx

from service.errors import BodyTooLarge, ImageUnreachable, ImageUrlRefused

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network
FAILURES = (httpcore.NetworkError, httpcore.ProtocolError, httpcore.TimeoutException)
PORTS = {"http": 80, "https": 443}
# IPv6 addresses that a gateway turns into IPv4 ones, private ones among them: NAT64 and 6to4.
TRANSLATED = tuple(map(ipaddress.IPv6Network, ("64:ff9b::/96", "64:ff9b:1::/48", "2002::/16")))


@dataclass(frozen=True)
class Origin:
    """The part of a URL that says whom it talks to; `host` in lower case, as ASCII."""

    scheme: str
    host: str
    port: int

    @property
    def name(self) -> str:
        """The host as a URL writes it."""
        return f"[{self.host}]" if ":" in self.host else self.host

    def __str__(self) -> str:
        return f"{self.scheme}://{self.name}:{self.port}"


@dataclass(frozen=True)
class HostRules:
    """Where requests may go.

    Attributes:
        trusted: an origin that may lie on a private address; None if there is none.
        hosts: further hosts, each as `host` or `host:port`.
        networks: private networks in which those hosts may lie.
    """

    trusted: Origin | None
    hosts: frozenset[str]
    networks: tuple[Network, ...]

    def check(self, origin: Origin) -> None:
        """Raise ImageUrlRefused unless requests may go to `origin`."""
        if origin != self.trusted and not {origin.name, f"{origin.name}:{origin.port}"} & self.hosts:
            raise ImageUrlRefused(f"{origin} is not allowed: add {origin.name} to WEAKSAM_IMAGE_HOSTS")

    def check_address(self, host: str, port: int, address: Address) -> None:
        """Raise ImageUrlRefused unless connections to `host` may go to `address`."""
        trusted = self.trusted is not None and (host, port) == (self.trusted.host, self.trusted.port)
        # An address that is listed itself is meant, private or not.
        listed = host == str(address) or any(address in network for network in self.networks)
        if not (trusted or listed or _is_public(address)):
            raise ImageUrlRefused(f"{host} is at the private address {address}: add it to WEAKSAM_IMAGE_NETWORKS")


@dataclass(frozen=True)
class HttpResponse:
    """A whole response; names of headers in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes


def parse_url(text: str) -> tuple[httpx.URL, Origin]:
    """Return a URL, percent-encoded, and its origin.

    Raises:
        ImageUrlRefused: it is no URL of http or https, or holds a password.
    """
    try:
        url = httpx.URL(text)
    except (httpx.InvalidURL, UnicodeError) as error:
        raise ImageUrlRefused(f"the image's address is no URL ({error})") from error
    if url.scheme not in PORTS or not url.host:
        raise ImageUrlRefused(f"the image's address begins with {text[:12]!r}: only http, https and data are fetched")
    if url.userinfo:
        raise ImageUrlRefused(f"the image's address at {url.host} holds a login: leave it out")
    return url, Origin(url.scheme, url.raw_host.decode("ascii").lower(), url.port or PORTS[url.scheme])


class GuardedHttp:
    """Sends requests within `rules`; follows no redirect, uses no proxy, and keeps no connection.

    Args:
        max_bytes: largest body of a response.
    """

    def __init__(self, rules: HostRules, max_bytes: int) -> None:
        self._rules = rules
        self._max_bytes = max_bytes
        self._network = _CheckedNetwork(rules)

    async def request(
        self, method: str, url: str, headers: Mapping[str, str], content: bytes | None = None
    ) -> HttpResponse:
        """Return the response, whatever its status.

        Raises:
            ImageUrlRefused: the rules do not allow the host or its address.
            ImageUnreachable: the host cannot be reached, or breaks off.
            BodyTooLarge: the body is larger than `max_bytes`.
        """
        parsed, origin = parse_url(url)
        self._rules.check(origin)
        target = httpcore.URL(scheme=parsed.raw_scheme, host=parsed.raw_host, port=origin.port, target=parsed.raw_path)
        sent = {"Accept-Encoding": "identity", **headers}
        try:
            async with (
                httpcore.AsyncConnectionPool(self._tls, network_backend=self._network) as pool,
                pool.stream(method, target, headers=list(sent.items()), content=content) as response,
            ):
                return await self._read(response, origin)
        except (*FAILURES, OSError, UnicodeError) as error:  # UnicodeError: no host can have such a name
            raise ImageUnreachable(f"{origin} cannot be reached ({str(error) or type(error).__name__})") from error

    async def _read(self, response: httpcore.Response, origin: Origin) -> HttpResponse:
        headers = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in response.headers}
        length = headers.get("content-length", "")
        self._check_size(int(length) if length.isdecimal() else 0, origin)
        body = bytearray()
        async for part in response.aiter_stream():
            body += part
            self._check_size(len(body), origin)
        return HttpResponse(response.status, headers, bytes(body))

    def _check_size(self, size: int, origin: Origin) -> None:
        if size > self._max_bytes:
            raise BodyTooLarge(f"what {origin} sends is larger than WEAKSAM_MAX_BODY_BYTES, {self._max_bytes} bytes")

    @cached_property
    def _tls(self) -> ssl.SSLContext:
        return ssl.create_default_context()


class _CheckedNetwork(httpcore.AsyncNetworkBackend):
    """Connects to addresses that were checked. The name is still the one that TLS verifies."""

    def __init__(self, rules: HostRules) -> None:
        self._rules = rules
        self._inner = httpcore.AnyIOBackend()

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ASYNC109 - the signature is httpcore's
        local_address: str | None = None,
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        addresses = await _resolve(host, port)
        for address in addresses:
            self._rules.check_address(host, port, address)
        for address in addresses[:-1]:
            try:
                return await self._inner.connect_tcp(str(address), port, timeout, local_address, socket_options)
            except httpcore.ConnectError:
                continue
        return await self._inner.connect_tcp(str(addresses[-1]), port, timeout, local_address, socket_options)


async def _resolve(host: str, port: int) -> list[Address]:
    """Return the addresses of a host, at least one; raise OSError if there is none."""
    rows = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return [ipaddress.ip_address(text) for text in dict.fromkeys(str(row[4][0]).partition("%")[0] for row in rows)]


def _is_public(address: Address) -> bool:
    if isinstance(address, ipaddress.IPv6Address):
        if address.ipv4_mapped is not None:
            return _is_public(address.ipv4_mapped)
        if any(address in network for network in TRANSLATED):
            return False
    return address.is_global and not address.is_multicast
