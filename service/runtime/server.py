"""uvicorn with two more manners: it drains before it stops, and reloads when told."""

from __future__ import annotations

import asyncio
import select
import signal
import socket
import time

import uvicorn

from service.runtime.lifecycle import Operations

TICK_S = 0.05
# A connection that has just been accepted has its first request on the way.
FIRST_REQUEST_S = 0.25
# Turns of the event loop in which the last waiting connections are accepted; clients that never pause end it too.
MOST_ROUNDS = 100


class Server(uvicorn.Server):
    """On SIGTERM: /readyz says 503 and everything is still answered for `drain_s`; then the port is closed, and what
    was accepted, requests that are about to arrive on an open connection included, is finished within the
    configuration's `timeout_graceful_shutdown`. On SIGHUP: keys and bundle are loaded again.

    Args:
        drain_s: how long load balancers take to see that the service is not ready any more.
    """

    def __init__(self, config: uvicorn.Config, operations: Operations, drain_s: float) -> None:
        super().__init__(config)
        self._operations = operations
        self._drain_s = drain_s
        self._reloads: set[asyncio.Task[None]] = set()

    async def main_loop(self) -> None:
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGHUP, self._on_hangup)
        await super().main_loop()
        self._operations.drain()
        until_s = time.monotonic() + self._drain_s
        # A second Ctrl-C ends the drain as it ends everything else.
        while time.monotonic() < until_s and not self.force_exit:  # noqa: ASYNC110
            await asyncio.sleep(TICK_S)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        # A port that is closed resets the connections that wait to be accepted.
        for _ in range(MOST_ROUNDS):
            if not any(map(_has_waiting, self.servers)):
                break
            await asyncio.sleep(0)
        for server in self.servers:
            server.close()
        # uvicorn closes connections without a request at once, which would reset those whose request is on its way.
        if not self.force_exit:
            await asyncio.sleep(FIRST_REQUEST_S)
        await super().shutdown(sockets)

    def _on_hangup(self) -> None:
        # The loop itself holds tasks by weak references only.
        task = asyncio.create_task(self._operations.reload_on_signal())
        self._reloads.add(task)
        task.add_done_callback(self._reloads.discard)


def _has_waiting(server: asyncio.Server) -> bool:
    waiting = select.poll()
    for listener in server.sockets:
        waiting.register(listener.fileno(), select.POLLIN)
    return bool(waiting.poll(0))
