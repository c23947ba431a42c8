"""Proxies as people have them: one that forwards HTTP and one that speaks SOCKS5, over sockets."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field

Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


@dataclass
class Proxy:
    """A proxy that sends everything to one port of this machine, whatever host is asked for.

    Attributes:
        port: of the server behind it.
        asked: host and port of each connection.
    """

    port: int
    asked: list[str] = field(default_factory=list)
    connections: list[asyncio.Task[None]] = field(default_factory=list)

    def serve(self, kind: str) -> Callable[[asyncio.StreamReader, asyncio.StreamWriter], None]:
        """Return what `asyncio.start_server` calls for each connection."""
        handle = self.http if kind == "http" else self.socks5

        def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            self.connections.append(asyncio.create_task(handle(reader, writer)))

        return connected

    async def http(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Forward one connection whose requests have an absolute URL."""
        head = await reader.readuntil(b"\r\n\r\n")
        method, url, rest = head.split(b" ", 2)
        _, _, host_and_path = url.partition(b"://")
        host, _, path = host_and_path.partition(b"/")
        self.asked.append(host.decode())
        # The next request has an absolute URL too: it comes over a connection of its own.
        rest = rest.replace(b"Connection: keep-alive", b"Connection: close")
        await self._forward((reader, writer), b"%b /%b %b" % (method, path, rest))

    async def socks5(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Forward one connection after SOCKS5's greeting (RFC 1928), a name as its address."""
        _, methods = await reader.readexactly(2)
        await reader.readexactly(methods)
        writer.write(b"\x05\x00")
        *_, length = await reader.readexactly(5)
        host, port = (await reader.readexactly(length)).decode(), int.from_bytes(await reader.readexactly(2))
        self.asked.append(f"{host}:{port}")
        writer.write(b"\x05\x00\x00\x01" + bytes(6))
        await self._forward((reader, writer), b"")

    async def _forward(self, client: Streams, first: bytes) -> None:
        server = await asyncio.open_connection("127.0.0.1", self.port)
        server[1].write(first)
        with suppress(ConnectionError):
            await asyncio.gather(_copy(client[0], server[1]), _copy(server[0], client[1]))


@asynccontextmanager
async def running_proxy(proxy: Proxy, kind: str) -> AsyncIterator[str]:
    """Run a proxy of kind `http` or `socks5` and yield its URL."""
    server = await asyncio.start_server(proxy.serve(kind), "127.0.0.1", 0)
    async with server:
        yield f"{kind}://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        await asyncio.gather(*proxy.connections)


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(65536):
        writer.write(data)
        await writer.drain()
    writer.close()
    with suppress(ConnectionError):
        await writer.wait_closed()
