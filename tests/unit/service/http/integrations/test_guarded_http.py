"""Which addresses requests may go to."""

from __future__ import annotations

import asyncio
import ipaddress
import socket
from typing import Any

import pytest

from service.errors import ImageUnreachable, ImageUrlRefused
from service.http.integrations.guarded_http import GuardedHttp, HostRules, Origin, parse_url
from tests.support.servers.free_port import free_port

LABEL_STUDIO = Origin("http", "label.example", 8080)
RULES = HostRules(
    LABEL_STUDIO,
    frozenset({"photos.example", "cdn.example:8443", "10.1.2.3", "[fd00::5]"}),
    (ipaddress.ip_network("192.168.7.0/24"),),
)
PRIVATE = (
    "127.0.0.1",
    "10.1.2.4",
    "169.254.169.254",
    "192.168.8.1",
    "100.64.0.1",
    "0.0.0.0",
    "224.0.0.1",
    "::1",
    "::ffff:127.0.0.1",
    "fe80::1",
    "fd00::6",
    "64:ff9b::a00:1",
    "2002:a00:1::1",
)


@pytest.mark.parametrize(
    ("url", "allowed"),
    [
        ("http://label.example:8080/data/upload/1/a.jpg", True),
        ("http://LABEL.example:8080/x", True),
        ("http://label.example/x", False),
        ("https://label.example:8080/x", False),
        ("https://photos.example/x", True),
        ("http://photos.example:9000/x", True),
        ("https://cdn.example:8443/x", True),
        ("https://cdn.example/x", False),
        ("http://10.1.2.3/x", True),
        ("http://[fd00::5]/x", True),
        ("http://10.1.2.4/x", False),
        ("http://photos.example.evil.example/x", False),
        ("http://evil.example/?photos.example", False),
    ],
)
def test_hosts_are_those_that_are_listed(url: str, allowed: bool) -> None:
    _, origin = parse_url(url)
    if allowed:
        RULES.check(origin)
    else:
        with pytest.raises(ImageUrlRefused, match=origin.host.replace(".", r"\.") + ".*WEAKSAM_IMAGE_HOSTS"):
            RULES.check(origin)


@pytest.mark.parametrize("address", PRIVATE)
def test_a_listed_host_at_a_private_address_is_refused(address: str) -> None:
    with pytest.raises(ImageUrlRefused, match="WEAKSAM_IMAGE_NETWORKS"):
        RULES.check_address("photos.example", 443, ipaddress.ip_address(address))


@pytest.mark.parametrize(
    ("host", "port", "address"),
    [
        ("photos.example", 443, "93.184.216.34"),
        ("photos.example", 443, "2606:2800:220:1::1"),
        ("photos.example", 443, "192.168.7.9"),  # in a listed network
        ("10.1.2.3", 80, "10.1.2.3"),  # listed itself
        ("fd00::5", 80, "fd00::5"),
        ("label.example", 8080, "127.0.0.1"),  # Label Studio itself
    ],
)
def test_public_and_listed_addresses_are_allowed(host: str, port: int, address: str) -> None:
    RULES.check_address(host, port, ipaddress.ip_address(address))


@pytest.mark.parametrize(
    "url", ["file:///etc/passwd", "ftp://photos.example/x", "gopher://x", "photos/a.jpg", "http://", "http://[::1"]
)
def test_other_addresses_are_refused(url: str) -> None:
    with pytest.raises(ImageUrlRefused):
        parse_url(url)


def test_a_login_in_the_address_is_refused_and_not_repeated() -> None:
    with pytest.raises(ImageUrlRefused, match="login") as caught:
        parse_url("http://user:secret@photos.example/x")
    assert "secret" not in str(caught.value)


def resolver(monkeypatch: pytest.MonkeyPatch, *addresses: str) -> list[str]:
    """Let every name resolve to the addresses, in turn if it is asked again; returns the names asked for."""
    asked: list[str] = []

    def resolve(host: str, port: int, *_: Any, **__: Any) -> list[Any]:
        asked.append(host)
        family = socket.AF_INET6 if ":" in addresses[0] else socket.AF_INET
        return [(family, socket.SOCK_STREAM, 6, "", (address, port)) for address in addresses]

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    return asked


def get(url: str, rules: HostRules = RULES) -> Any:
    return asyncio.run(GuardedHttp(rules, 1000).request("GET", url, {}))


def test_a_name_with_one_private_address_among_others_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = resolver(monkeypatch, "93.184.216.34", "127.0.0.1")
    with pytest.raises(ImageUrlRefused, match=r"private address 127\.0\.0\.1"):
        get("http://photos.example/x")
    assert asked == ["photos.example"]


def test_the_connection_goes_to_the_address_that_was_checked(monkeypatch: pytest.MonkeyPatch) -> None:
    """The name is resolved once: what it means a moment later does not matter."""
    port = free_port()
    rules = HostRules(None, frozenset({"photos.example"}), (ipaddress.ip_network("127.0.0.1/32"),))
    asked = resolver(monkeypatch, "127.0.0.1")
    with pytest.raises(ImageUnreachable, match=rf"http://photos\.example:{port} cannot be reached"):
        get(f"http://photos.example:{port}/x", rules)
    assert asked.count("photos.example") == 1


def test_a_name_that_no_host_can_have_is_not_reached() -> None:
    name = f"{'a' * 70}.example"
    with pytest.raises((ImageUnreachable, ImageUrlRefused)):
        get(f"http://{name}/x", HostRules(None, frozenset({name}), ()))
