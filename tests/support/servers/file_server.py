"""A server of one file that misbehaves in every way a server can."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

CONTENT = bytes(range(256)) * 1200
CUT_AFTER = 100_000


@dataclass
class FileServer:
    """What the server does; `ranges` are the Range headers that came in.

    Attributes:
        content: what it serves.
        cuts: so many answers are cut off after `CUT_AFTER` bytes.
        length: the length it states, where it lies about it.
        statuses: taken for the first answers.
        with_ranges: whether it honours Range.
        states_total: whether it states the whole size with a part.
        shift: by how much it begins elsewhere than asked.
    """

    content: bytes = CONTENT
    cuts: int = 0
    length: int | None = None
    statuses: list[int] = field(default_factory=list)
    with_ranges: bool = True
    states_total: bool = True
    shift: int = 0
    ranges: list[str | None] = field(default_factory=list)


class Handler(BaseHTTPRequestHandler):
    behaviour: FileServer

    def do_GET(self) -> None:
        mine, asked = self.behaviour, self.headers.get("Range")
        mine.ranges.append(asked)
        if mine.statuses:
            self.send_response(mine.statuses.pop(0))
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        start = 0
        if asked is not None and mine.with_ranges:
            start = int(asked.removeprefix("bytes=").removesuffix("-")) + mine.shift
            self.send_response(206)
            total = mine.length or len(mine.content)
            self.send_header("Content-Range", f"bytes {start}-{total - 1}/{total if mine.states_total else '*'}")
        else:
            self.send_response(200)
        body = mine.content[start:]
        self.send_header("Content-Length", str((mine.length or len(mine.content)) - start))
        self.end_headers()
        if mine.cuts:
            mine.cuts -= 1
            body = body[:CUT_AFTER]
        self.wfile.write(body)
        self.close_connection = True

    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def serving(server: FileServer) -> Iterator[str]:
    """Serve over a socket; yields the address, under which every path is the file."""
    handler = type("HandlerOfTest", (Handler,), {"behaviour": server})
    http = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    http.handle_error = lambda *_: None  # type: ignore[method-assign]  # a client that gives up is part of the test
    thread = threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield f"http://127.0.0.1:{http.server_port}"
    finally:
        http.shutdown()
        thread.join()
        http.server_close()
