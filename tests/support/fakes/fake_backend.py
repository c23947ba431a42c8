"""A backend made from a function, for tests of everything above the seam."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence

from service.backends.base import Array, Tensors
from service.errors import BackendUnavailable

Answer = Callable[[str, Mapping[str, Array], Sequence[str]], Awaitable[Tensors]]


class FakeBackend:
    """Answers with `answer(model, inputs, outputs)`, which may return more outputs than were asked for.

    Args:
        answer: stands for all graphs; it may wait, fail, or count its calls.
        kind: whose sizes of runs to use.
    """

    def __init__(self, answer: Answer, kind: str = "onnxruntime") -> None:
        self.kind = kind
        self._answer = answer
        self._closed = False

    async def infer(self, model: str, inputs: Mapping[str, Array], outputs: Sequence[str]) -> Tensors:
        if self._closed:
            raise BackendUnavailable("the fake backend is closed: make another one", retry_after_s=1)
        found = await self._answer(model, inputs, outputs)
        return {name: found[name] for name in outputs}

    async def ready(self) -> bool:
        return not self._closed

    async def aclose(self) -> None:
        self._closed = True
