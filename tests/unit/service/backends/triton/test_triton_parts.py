"""The parts of the Triton backend that need no server: errors told apart, and shared memory lent out."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tritonclient.grpc import model_config_pb2, service_pb2
from tritonclient.utils import InferenceServerException

from models.bundle import Bundle
from models.triton import TRITON_TYPES
from service.backends.triton.errors import EndpointFull, EndpointLost, service_error
from service.backends.triton.model_check import check_model
from service.backends.triton.shared_memory import InputMemory
from service.errors import BackendFailure, BackendMismatch, DeadlineExceeded, ServiceError

ERRORS = {
    "nobody listens": ("UNAVAILABLE", "failed to connect to all addresses", EndpointLost),
    "shutting down": ("CANCELLED", "Server shutting down", EndpointLost),
    "queue full": ("UNAVAILABLE", "Exceeds maximum queue size", EndpointFull),
    "too long in the queue": ("UNAVAILABLE", "Request timeout expired", DeadlineExceeded),
    "too long": ("DEADLINE_EXCEEDED", "Deadline Exceeded", DeadlineExceeded),
    "restarted": ("INVALID_ARGUMENT", "Unable to find shared memory region: 'x'", EndpointLost),
    "wrong input": ("INVALID_ARGUMENT", "unexpected shape for input 'image'", BackendFailure),
    "model failed": ("INTERNAL", "onnxruntime: out of memory", BackendFailure),
    "in the client": (None, "got unexpected datatype", BackendFailure),
}


@pytest.mark.parametrize(("status", "message", "meaning"), ERRORS.values(), ids=list(ERRORS))
def test_errors_are_told_apart(status: str | None, message: str, meaning: type[ServiceError]) -> None:
    error = InferenceServerException(message, status and f"StatusCode.{status}")
    found = service_error(error, "triton:8001", "cam")
    assert type(found) is meaning
    assert (found.retry_after_s is None) == (meaning in {BackendFailure, DeadlineExceeded})
    if meaning is not BackendFailure:
        assert "triton:8001" not in found.detail, "clients are not told where it runs"


def served(bundle: Bundle, graph: str, **changes: Any) -> tuple[Any, Any]:
    """What a Triton says of a model: its metadata and its configuration."""
    spec = bundle.graphs[graph]
    metadata, config = service_pb2.ModelMetadataResponse(name=graph), model_config_pb2.ModelConfig()
    for wanted, found in ((spec.inputs, metadata.inputs), (spec.outputs, metadata.outputs)):
        for tensor in wanted:
            shape = [size if isinstance(size, int) else -1 for size in tensor.shape]
            found.add(name=tensor.name, datatype=changes.get("datatype", TRITON_TYPES[tensor.dtype]), shape=shape)
    config.parameters["bundle_digest_1"].string_value = changes.get("digest", bundle.digest)
    return metadata, config


def test_a_model_of_the_bundle_passes(tiny_bundle: Bundle) -> None:
    for graph in tiny_bundle.graphs:
        check_model(tiny_bundle, graph, *served(tiny_bundle, graph))


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        pytest.param({"digest": "0" * 64}, "model cam in Triton has bundle_digest_1 0{64}, the bundle", id="digest"),
        pytest.param({"datatype": "INT32"}, r"has inputs image INT32\[-1, 64, 64, 3\], the bundle image", id="type"),
    ],
)
def test_another_model_is_named(tiny_bundle: Bundle, changes: dict[str, Any], sentence: str) -> None:
    with pytest.raises(BackendMismatch, match=sentence):
        check_model(tiny_bundle, "cam", *served(tiny_bundle, "cam", **changes))


def test_memory_is_lent_and_given_back() -> None:
    memory = InputMemory(4096)
    array = np.arange(256, dtype=np.float32)  # a quarter of it
    try:
        with ExitStack() as lent:
            offsets = [lent.enter_context(memory.lent(array + index)) for index in range(4)]
            assert sorted(offset for offset in offsets if offset is not None) == [0, 1024, 2048, 3072]
            assert lent.enter_context(memory.lent(array)) is None
            shared = np.frombuffer(Path("/dev/shm", memory.name).read_bytes(), np.float32).reshape(4, 256)
            np.testing.assert_array_equal(shared[:, 0], [0, 1, 2, 3])
        with memory.lent(np.zeros(4096, np.uint8)) as start:
            assert start == 0, "pieces are joined again"
    finally:
        memory.close()
        memory.close()
    assert not Path("/dev/shm", memory.name).exists()
