"""What the server below the application does with HTTP itself, in a process of its own."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from urllib.parse import urlsplit

import httpx
import pytest

from models.bundle import Bundle
from tests.support.bundles.service_parts import PATIENCE_S
from tests.support.faults import pictures
from tests.support.servers.served_process import served

GOOD = pictures.saved(pictures.patch(), "PNG")
MEGABYTE = 2**20
# What the HTTP client of Java sends with each request to an http:// address, unless it is told not to.
OFFER_HTTP_2 = {"Connection": "Upgrade, HTTP2-Settings", "Upgrade": "h2c", "HTTP2-Settings": "AAEAAEAAAAIAAAABAAMAAABk"}


@pytest.fixture(scope="module")
def served_url(tiny_bundle: Bundle, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of `weaksam serve`."""
    with served(tiny_bundle.folder, tmp_path_factory.mktemp("served") / "log") as process:
        yield process.wait_until_ready()


def connect(url: str) -> socket.socket:
    address = urlsplit(url)
    return socket.create_connection((address.hostname, address.port), timeout=PATIENCE_S)


@pytest.mark.parametrize("chunked", [False, True], ids=["length", "chunked"])
def test_a_client_that_offers_http_2_keeps_its_body(served_url: str, chunked: bool) -> None:
    content = iter([GOOD]) if chunked else GOOD
    headers = {"Content-Type": "image/png", **OFFER_HTTP_2}
    response = httpx.post(f"{served_url}/detect?tags=red-bolt", content=content, headers=headers)
    assert response.status_code == 200, response.text
    assert response.json()["tags"][0]["label"] == "red-bolt"


def send_header(connection: socket.socket, megabytes: int) -> None:
    connection.sendall(b"GET /livez HTTP/1.1\r\nHost: test\r\nX-Long: ")
    for _ in range(megabytes):
        connection.sendall(b"a" * MEGABYTE)


def test_a_header_without_an_end_is_cut_off(served_url: str) -> None:
    with connect(served_url) as connection, pytest.raises(ConnectionError):
        send_header(connection, 32)
    assert httpx.get(f"{served_url}/livez").status_code == 200


def test_a_target_may_name_the_host(served_url: str) -> None:
    """Programs send it so to what they take for a proxy."""
    with connect(served_url) as connection:
        connection.sendall(f"GET {served_url}/livez HTTP/1.1\r\nHost: test\r\n\r\n".encode())
        assert connection.recv(64).startswith(b"HTTP/1.1 200 ")


EARLY = {"no such page": "/nope", "unknown option": "/detect?wrong=1", "wrong method": "/labels"}


@pytest.mark.parametrize("path", EARLY.values(), ids=list(EARLY))
def test_a_client_may_finish_its_body_after_an_early_response(served_url: str, path: str) -> None:
    """A connection that is closed over unread bytes is reset, and many clients lose the response then."""
    with connect(served_url) as connection:
        head = f"POST {path} HTTP/1.1\r\nHost: test\r\nContent-Type: image/png\r\nConnection: close\r\n"
        connection.sendall(f"{head}Content-Length: {4 * MEGABYTE}\r\n\r\n".encode() + bytes(MEGABYTE))
        assert connection.recv(12).startswith(b"HTTP/1.1 4")
        connection.sendall(bytes(3 * MEGABYTE))
        while connection.recv(MEGABYTE):
            pass
