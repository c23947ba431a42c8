"""Client for programs without asyncio: `weaksam.AsyncClient` on an event loop of its own."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from functools import wraps
from threading import Thread
from types import TracebackType
from typing import Any, Concatenate, ParamSpec, Self, TypeVar

from weaksam.client import AsyncClient
from weaksam.errors import UserError

Parameters = ParamSpec("Parameters")
Result = TypeVar("Result")


def _blocking(
    method: Callable[Concatenate[AsyncClient, Parameters], Coroutine[Any, Any, Result]],
) -> Callable[Concatenate[Client, Parameters], Result]:
    """Return a method of `Client` that waits for this one of `AsyncClient`."""

    @wraps(method)
    def wait(self: Client, /, *args: Parameters.args, **kwargs: Parameters.kwargs) -> Result:
        if self._loop.is_closed():
            raise UserError("the client is closed: open another one")
        return self._wait(method(self._client, *args, **kwargs))

    return wait


class Client:
    """Sends images with tags to a service and waits for the results. Many threads may share one client.

    ```python
    with Client("http://127.0.0.1:8000") as client:
        result = client.detect(Path("bench.jpg"), ["wrench", "bolt"], min_score=0.3)
    ```

    Args:
        base_url: address of the service, such as `http://127.0.0.1:8000`.
        options: those of `AsyncClient`: `timeout_s`, `max_concurrent`, `retry`, `api_key` and `ca_file`.

    Raises:
        UserError: `base_url` is no URL, `max_concurrent` is below 1, or a call comes after `close`.
    """

    def __init__(self, base_url: str, **options: Any) -> None:
        self._client = AsyncClient(base_url, **options)
        self._loop = asyncio.new_event_loop()
        # A daemon, so that a program that never calls `close` can end.
        self._thread = Thread(target=self._loop.run_forever, name="weaksam-client", daemon=True)
        self._thread.start()

    detect = _blocking(AsyncClient.detect)
    """Find the tagged objects in one image: see `AsyncClient.detect`."""

    segment = _blocking(AsyncClient.segment)
    """Find the masks that points and a box of one object may mean: see `AsyncClient.segment`."""

    labels = _blocking(AsyncClient.labels)
    """Return the labels of the service's bundle: see `AsyncClient.labels`."""

    alive = _blocking(AsyncClient.alive)
    """Tell if the service responds: see `AsyncClient.alive`."""

    def close(self) -> None:
        """Close the connections and end the background thread."""
        if self._loop.is_closed():
            return
        self._wait(self._client.aclose())
        # Of responses that broke off: the loop would end before they are closed.
        self._wait(self._loop.shutdown_asyncgens())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _wait(self, call: Coroutine[Any, Any, Result]) -> Result:
        running = asyncio.run_coroutine_threadsafe(call, self._loop)
        try:
            return running.result()
        except BaseException:
            running.cancel()  # Ctrl-C: nobody waits for it any more
            raise
