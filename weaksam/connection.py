"""How the client reaches a service: through which proxy, trusting which certificates, and why it failed."""

from __future__ import annotations

import asyncio
import ipaddress
import itertools
import re
import ssl
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.request import getproxies_environment

import httpx
from pydantic import ValidationError

from weaksam.errors import UserError
from weaksam.findings import faults_of

# What httpcore reports when a request has left; its own limit holds for each piece of the response alone.
SENT = "http11.send_request_body.complete"
EXAMPLE_URL = "http://127.0.0.1:8000"
MAX_PORT = 65535
_KEY = re.compile(r"[!-~]+")
CERTIFICATE_REMEDY = "name its authority's PEM file in SSL_CERT_FILE (weaksam label: --ca-file)"


def service_url(text: str) -> httpx.URL:
    """Return the address of a service, without a slash at its end.

    Raises:
        UserError: it is no URL with http or https, a host and a port that there can be.
    """
    try:
        url = httpx.URL(text.rstrip("/"))
    except (httpx.InvalidURL, ValueError) as error:
        raise UserError(f"server must be a URL such as {EXAMPLE_URL}, got {text!r} ({error})") from error
    if url.scheme not in ("http", "https") or not url.host:
        raise UserError(f"server must be a URL such as {EXAMPLE_URL}, got {text!r}")
    if url.port is not None and not 0 < url.port <= MAX_PORT:
        raise UserError(f"server is {text!r}, whose port is {url.port}: give one from 1 to {MAX_PORT}")
    if url.query:
        raise UserError(f"server is {text!r}: give the address alone, without what begins at `?`")
    return url


def positive_timeout_s(seconds: float) -> float:
    """Return a time to wait; raise UserError if it is none."""
    if not seconds > 0:
        raise UserError(f"timeout_s is {seconds}: give seconds, more than 0")
    return seconds


def is_api_key(text: str) -> bool:
    """Return whether a text could be a key, of visible ASCII characters."""
    return _KEY.fullmatch(text) is not None


def authorization(api_key: str | None) -> dict[str, str]:
    """Return the header that carries a key.

    Raises:
        UserError: no header could carry it. The key is not in the message.
    """
    if api_key is None:
        return {}
    if not is_api_key(api_key):
        raise UserError("api_key is no API key: give the one line that `weaksam keys add` printed")
    return {"Authorization": f"Bearer {api_key}"}


def proxy_for(url: httpx.URL, variables: Mapping[str, str] | None = None) -> httpx.Proxy | None:
    """Return the proxy that the environment names for a service, or None. This machine needs no proxy.

    Args:
        url: address of the service.
        variables: proxies by scheme and `no`, as `getproxies_environment` returns them, which is the default.

    Raises:
        UserError: the variable holds no proxy that can be used.
    """
    variables = getproxies_environment() if variables is None else variables
    scheme = url.scheme if variables.get(url.scheme) else "all"
    text = variables.get(scheme)
    if not text or _is_loopback(url.host) or _is_excepted(url, variables.get("no", "")):
        return None
    try:
        return httpx.Proxy(text if "://" in text else f"http://{text}")
    except (ValueError, httpx.InvalidURL) as error:
        raise UserError(
            f"{scheme.upper()}_PROXY is {text!r} and no proxy ({error}): "
            f"give http://HOST:PORT or socks5://HOST:PORT, or set NO_PROXY={url.host}"
        ) from error


def tls_context(ca_file: Path | None) -> ssl.SSLContext:
    """Return a context that trusts the certificates of `ca_file`; None trusts SSL_CERT_FILE or the usual authorities.

    Raises:
        UserError: the file cannot be read or holds no certificate.
    """
    try:
        return httpx.create_ssl_context() if ca_file is None else ssl.create_default_context(cafile=ca_file)
    except (OSError, ssl.SSLError) as error:
        name = "SSL_CERT_FILE" if ca_file is None else f"ca_file {ca_file}"
        raise UserError(f"{name} cannot be read as certificates ({error}): give a file in PEM format") from error


async def send_once(
    http: httpx.AsyncClient, method: str, path: str, content: dict[str, Any], timeout_s: float
) -> httpx.Response | httpx.RequestError:
    """Return the response, or the error in its place.

    Args:
        timeout_s: longest time from the end of the request to the end of the response. The upload itself may take
            longer, if it goes on.
    """
    try:
        async with asyncio.timeout(None) as limit:

            async def trace(event: str, _: object) -> None:
                if event == SENT:
                    limit.reschedule(asyncio.get_running_loop().time() + timeout_s)

            return await http.request(method, path, extensions={"trace": trace}, **content)
    except httpx.RequestError as error:
        return error
    except TimeoutError:
        return httpx.ReadTimeout(f"no whole response within {timeout_s:g} s")


def is_lasting(outcome: httpx.Response | httpx.RequestError) -> bool:
    """Tell if another attempt would fail alike: a certificate does not become trusted meanwhile."""
    return isinstance(outcome, httpx.RequestError) and code_and_cause(outcome)[0] == "tls_failed"


def code_and_cause(error: httpx.RequestError) -> tuple[str, str]:
    """Return a stable code and a clause that says why there is no response, with the remedy if there is one."""
    for inner in _chain(error):
        if isinstance(inner, ssl.SSLCertVerificationError):
            cause = f"its certificate is not trusted ({inner.verify_message})"
            return "tls_failed", f"{cause}: {CERTIFICATE_REMEDY}"
        if isinstance(inner, ssl.SSLError):
            return "tls_failed", f"TLS failed ({inner.reason or inner}): check if its address begins with http://"
    if isinstance(error, httpx.ProxyError):
        return "proxy_failed", f"the proxy refused it ({error}): check the proxy, or set NO_PROXY"
    if isinstance(error, httpx.TimeoutException):
        return "unreachable", f"it took too long ({type(error).__name__})"
    if isinstance(error, httpx.NetworkError | httpx.RemoteProtocolError) and not isinstance(error, httpx.ConnectError):
        return "unreachable", f"the connection was cut ({str(error) or type(error).__name__})"
    return "unreachable", str(error) or type(error).__name__


def unlike(error: ValueError) -> str:
    """Return in which way a response is none of this service, or of a version that says what no other one does."""
    if isinstance(error, ValidationError) and all(row["type"] != "json_invalid" for row in error.errors()):
        told = "; ".join(fault.sentence("the response") for fault in itertools.islice(faults_of(error.errors()), 3))
        return f"responds as another version of the service, or another program ({told}): install its version here"
    return "does not respond as this service does: check the address"


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def _is_loopback(host: str) -> bool:
    address = _address(host)
    if address is not None:
        return address.is_loopback or address.is_unspecified
    return host == "localhost" or host.endswith(".localhost")


def _is_excepted(url: httpx.URL, no_proxy: str) -> bool:
    """Tell if NO_PROXY names the host: by name, domain, address, network, with or without a port, or as `*`."""
    return any(_covers(entry, url) for entry in no_proxy.replace(",", " ").split())


def _covers(entry: str, url: httpx.URL) -> bool:
    entry = entry.partition("://")[2] or entry
    address = _address(url.host)
    if address is not None and (network := _network(entry)) is not None:
        return address in network
    name, _, port = entry.rpartition(":") if entry.rpartition(":")[2].isdigit() else (entry, "", "")
    if port and int(port) != (url.port or {"http": 80, "https": 443}[url.scheme]):
        return False
    if address is not None:
        return _address(name) == address
    domain = name.removeprefix("*").strip(".").lower()
    return name == "*" or url.host == domain or (domain != "" and url.host.endswith(f".{domain}"))


def _address(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(text.strip("[]"))
    except ValueError:
        return None


def _network(text: str) -> ipaddress.IPv4Network | ipaddress.IPv6Network | None:
    try:
        return ipaddress.ip_network(text.strip("[]"), strict=False)
    except ValueError:
        return None


def problem_of(response: httpx.Response) -> tuple[str, str]:
    """Return code and sentence of a problem+json body, or of the bare status of a proxy."""
    try:
        body = response.json()
        return str(body["code"]), str(body.get("detail") or body["title"])
    except (ValueError, KeyError, TypeError, AttributeError):
        return (
            f"http_{response.status_code}",
            f"{response.url} responded {response.status_code} {response.reason_phrase}",
        )
