"""A uvicorn server that drains before it stops and reloads on SIGHUP."""

from __future__ import annotations

import asyncio
import select
import signal
import socket
import time

import uvicorn

from service.runtime.lifecycle import Lifecycle

TICK_S = 0.05
# A connection that has just been accepted has its first request on the way.
FIRST_REQUEST_S = 0.25
# Turns of the event loop that accept the last waiting connections; a bound, since clients may never pause.
MAX_ACCEPT_ROUNDS = 100


class Server(uvicorn.Server):
    """On SIGHUP, keys and bundle are loaded again. On SIGTERM, the server stops in three steps.

    1. For `drain_s`, /readyz returns 503 and everything else still gets its response.
    2. The port is closed. Requests about to arrive on an open connection are still accepted.
    3. What was accepted is finished within the configuration's `timeout_graceful_shutdown`.

    Args:
        drain_s: how long a load balancer takes to notice that the service is not ready.
    """

    def __init__(self, config: uvicorn.Config, lifecycle: Lifecycle, drain_s: float) -> None:
        super().__init__(config)
        self._lifecycle = lifecycle
        self._drain_s = drain_s
        self._reloads: set[asyncio.Task[None]] = set()

    async def main_loop(self) -> None:
        loop, held = asyncio.get_running_loop(), signal.getsignal(signal.SIGHUP)
        loop.add_signal_handler(signal.SIGHUP, self._on_hangup)
        if isinstance(held, HeldHangup) and held.came:
            self._on_hangup()
        await super().main_loop()
        self._lifecycle.drain()
        until_s = time.monotonic() + self._drain_s
        # A second Ctrl-C ends the drain as it ends everything else.
        while time.monotonic() < until_s and not self.force_exit:  # noqa: ASYNC110
            await asyncio.sleep(TICK_S)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        # Closing the port resets the connections that still wait to be accepted.
        for _ in range(MAX_ACCEPT_ROUNDS):
            if not any(map(_has_waiting, self.servers)):
                break
            await asyncio.sleep(0)
        for server in self.servers:
            server.close()
        # uvicorn closes idle connections at once, which would reset those whose request is on its way.
        if not self.force_exit:
            await asyncio.sleep(FIRST_REQUEST_S)
        await super().shutdown(sockets)

    def _on_hangup(self) -> None:
        # The loop itself holds tasks by weak references only.
        task = asyncio.create_task(self._lifecycle.reload_on_signal())
        self._reloads.add(task)
        task.add_done_callback(self._reloads.discard)


class HeldHangup:
    """A handler that notes whether a SIGHUP came."""

    came = False

    def __call__(self, *_: object) -> None:
        self.came = True


def hold_hangups() -> None:
    """Keep a SIGHUP until the server listens to it: before, it would end the process. Call it from the main thread."""
    signal.signal(signal.SIGHUP, HeldHangup())


def _has_waiting(server: asyncio.Server) -> bool:
    waiting = select.poll()
    for listener in server.sockets:
        waiting.register(listener.fileno(), select.POLLIN)
    return bool(waiting.poll(0))
