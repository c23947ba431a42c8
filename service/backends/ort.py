"""The backend that runs onnxruntime in the service's own process, on CPU or GPU."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import onnxruntime
from onnxruntime.capi import onnxruntime_pybind11_state as ort_errors

from models.bundle import Bundle, GraphSpec
from models.bundle_files.sessions import PROVIDERS, Device, DeviceError, open_session
from service.backends.base import Array, Tensors
from service.errors import BackendFailure, BackendMismatch, BackendUnavailable, ServiceError

# onnxruntime's names of element types, where they differ from numpy's.
NUMPY_NAMES = {"float": "float32", "double": "float64"}

# A passing error means that the device was lost or is out of memory: another attempt may succeed. A lasting one means
# that model or input is wrong. Out of memory on a device has no class of its own, only this text.
OUT_OF_MEMORY = "Failed to allocate memory"
PASSING_ERRORS: tuple[type[Exception], ...] = (ort_errors.DeviceReset, ort_errors.EPFail, MemoryError)
LASTING_ERRORS: tuple[type[Exception], ...] = (
    ort_errors.EngineError,
    ort_errors.Fail,
    ort_errors.InvalidArgument,
    ort_errors.InvalidGraph,
    ort_errors.InvalidProtobuf,
    ort_errors.ModelLoadCanceled,
    ort_errors.ModelLoaded,
    ort_errors.ModelRequiresCompilation,
    ort_errors.NoModel,
    ort_errors.NoSuchFile,
    ort_errors.NotFound,
    ort_errors.NotImplemented,
    ort_errors.RuntimeException,
    RuntimeError,
    TypeError,
    ValueError,
)


class OrtBackend:
    """Opens sessions for each graph, and runs them in a thread pool, since a run releases the interpreter's lock.

    A run that is alone takes all cores. Runs that are together take one core each: their threads would only wait for
    each other. Hence two sessions for each graph on a CPU, unless the number of threads is given.

    Args:
        bundle: the graphs to run; their inputs and outputs must be those that it states.
        device: where all graphs run.
        device_index: number of the GPU.
        intra_op_threads: threads within one operator; 0 is one per core for a run that is alone, else 1.
        concurrent_runs: maximum number of runs at the same time.

    Raises:
        BackendMismatch: a graph is not what the bundle states, or the device is missing; it names which.
    """

    kind = "onnxruntime"

    def __init__(
        self,
        bundle: Bundle,
        *,
        device: Device = "cpu",
        device_index: int = 0,
        intra_op_threads: int = 0,
        concurrent_runs: int = 2,
    ) -> None:
        self._alone = _open_sessions(bundle, device, device_index, intra_op_threads)
        fixed = intra_op_threads or device != "cpu" or os.cpu_count() == 1
        self._together = self._alone if fixed else _open_sessions(bundle, device, device_index, 1)
        self._pending = 0
        self._output_counts = {name: len(spec.outputs) for name, spec in bundle.graphs.items()}
        self._pool = ThreadPoolExecutor(concurrent_runs, thread_name_prefix="onnxruntime")
        self._closed = False

    async def infer(self, model: str, inputs: Mapping[str, Array], outputs: Sequence[str]) -> Tensors:
        if self._closed:
            raise BackendUnavailable("the onnxruntime backend is closed: the service is stopping", retry_after_s=1)
        self._pending += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self._pool, self._run, model, inputs, outputs)
        finally:
            self._pending -= 1

    async def ready(self) -> bool:
        return not self._closed

    async def aclose(self) -> None:
        self._closed = True
        await asyncio.to_thread(self._pool.shutdown, cancel_futures=True)

    def _run(self, model: str, inputs: Mapping[str, Array], outputs: Sequence[str]) -> Tensors:
        with mapped_errors(model):
            sessions = self._alone if self._pending == 1 else self._together
            session = sessions.get(model)
            if session is None:
                raise BackendFailure(f"there is no graph {model!r} in the bundle, only {', '.join(sessions)}")
            options = onnxruntime.RunOptions()
            # Without this, outputs that nobody wants are computed all the same.
            options.only_execute_path_to_fetches = len(outputs) < self._output_counts[model]
            return dict(zip(outputs, session.run(list(outputs), dict(inputs), options), strict=True))


@contextmanager
def mapped_errors(model: str) -> Iterator[None]:
    """Raise the errors of onnxruntime and its bindings as the service's own."""
    try:
        yield
    except (ServiceError, DeviceError):
        raise
    except PASSING_ERRORS as error:
        raise BackendUnavailable(f"graph {model} cannot be run at the moment", retry_after_s=1) from error
    except LASTING_ERRORS as error:
        if OUT_OF_MEMORY in str(error):
            raise BackendUnavailable(f"graph {model} has no memory at the moment", retry_after_s=1) from error
        raise BackendFailure(f"graph {model}: {error}") from error


def _open_sessions(
    bundle: Bundle, device: Device, device_index: int, intra_op_threads: int
) -> dict[str, onnxruntime.InferenceSession]:
    return {name: _open_session(bundle, name, device, device_index, intra_op_threads) for name in bundle.graphs}


def _open_session(
    bundle: Bundle, name: str, device: Device, device_index: int, intra_op_threads: int
) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = intra_op_threads
    # Each graph has threads of its own. Threads that spin for more work would take the cores from the next graph.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.log_severity_level = 3
    if PROVIDERS[device] not in onnxruntime.get_available_providers():
        raise BackendMismatch(
            f"device is {device!r}, but this onnxruntime has no {PROVIDERS[device]}: "
            "uninstall onnxruntime, then pip install -e '.[gpu]' in a checkout"
        )
    try:
        with mapped_errors(name):
            session = open_session(bundle.path(name), options, device, device_index)
    except DeviceError as error:
        raise BackendMismatch(str(error)) from error
    except ServiceError as error:
        raise BackendMismatch(f"{bundle.path(name)} cannot be opened ({error}): export the bundle again") from error
    _check_signature(name, bundle.graphs[name], session)
    return session


def _check_signature(name: str, spec: GraphSpec, session: onnxruntime.InferenceSession) -> None:
    for side, wanted, nodes in (
        ("inputs", spec.inputs, session.get_inputs()),
        ("outputs", spec.outputs, session.get_outputs()),
    ):
        expected = [_describe(tensor.name, tensor.dtype, tensor.shape) for tensor in wanted]
        found = [_describe(node.name, _numpy_dtype(node.type), node.shape) for node in nodes]
        if found != expected:
            raise BackendMismatch(
                f"graph {name} has {side} {', '.join(found)}, bundle.json says {', '.join(expected)}: "
                "export the bundle again"
            )


def _describe(name: str, dtype: str, shape: Sequence[int | str | None]) -> str:
    # A dynamic axis may have another name in the file.
    return f"{name} {dtype}[{','.join(str(size) if isinstance(size, int) else '*' for size in shape)}]"


def _numpy_dtype(ort_type: str) -> str:
    element = ort_type.removeprefix("tensor(").removesuffix(")")
    return NUMPY_NAMES.get(element, element)
