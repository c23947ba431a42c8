"""The calls that the service's pipeline makes for an image: recorded, and repeated with nothing around them."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import onnxruntime

from models.bundle import Bundle
from service.backends.base import Array, Backend, Tensors
from service.backends.ort import OrtBackend


@dataclass(frozen=True)
class Call:
    """One run of a graph: its inputs, and the outputs that were asked for."""

    graph: str
    inputs: dict[str, Array]
    outputs: tuple[str, ...]


class RecordingBackend:
    """A backend that passes every call on to another one and records it in `calls`."""

    def __init__(self, backend: Backend) -> None:
        self.kind = backend.kind
        self.calls: list[Call] = []
        self._backend = backend

    async def infer(self, model: str, inputs: Mapping[str, Array], outputs: Sequence[str]) -> Tensors:
        self.calls.append(Call(model, dict(inputs), tuple(outputs)))
        return await self._backend.infer(model, inputs, outputs)

    async def ready(self) -> bool:
        return await self._backend.ready()

    async def aclose(self) -> None:
        await self._backend.aclose()


class BareLoop:
    """onnxruntime and nothing else.

    The sessions are those that the service's own backend opens, so that threads and options are the same. They are
    called directly: no event loop, no thread pool, no numpy, one call after the other.
    """

    def __init__(self, bundle: Bundle, threads: int) -> None:
        self._sessions = OrtBackend(bundle, intra_op_threads=threads)._alone
        self._output_counts = {name: len(spec.outputs) for name, spec in bundle.graphs.items()}

    def run(self, call: Call) -> list[Array]:
        """Return the outputs of one call, in the order asked for."""
        outputs: list[Array] = self._sessions[call.graph].run(list(call.outputs), call.inputs, self._options(call))
        return outputs

    def seconds(self, calls: Sequence[Call]) -> float:
        """Return the wall time of making the calls."""
        prepared = [
            (self._sessions[call.graph], list(call.outputs), call.inputs, self._options(call)) for call in calls
        ]
        started_s = time.perf_counter()
        for session, outputs, inputs, options in prepared:
            session.run(outputs, inputs, options)
        return time.perf_counter() - started_s

    def _options(self, call: Call) -> onnxruntime.RunOptions:
        options = onnxruntime.RunOptions()
        options.only_execute_path_to_fetches = len(call.outputs) < self._output_counts[call.graph]
        return options
