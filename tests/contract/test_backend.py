"""What every backend keeps, one table for all."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence

import numpy as np
import onnx.reference
import pytest

from models.bundle import Bundle
from service.backends.base import Array, Backend, Tensors
from service.backends.ort import OrtBackend
from service.backends.triton.backend import TritonBackend
from service.errors import BackendFailure, BackendUnavailable
from service.observability.metrics import Metrics
from tests.support.bundles.service_parts import GREEN, PATIENCE_S, RED
from tests.support.bundles.tiny_bundle import picture
from tests.support.fakes.fake_backend import FakeBackend

SHARED_BYTES = 2**20
IMAGE = {"image": picture(((8, 8, 24, 24), RED))[None]}


def fake_of(bundle: Bundle) -> FakeBackend:
    """Answers with ONNX's own reference implementation, which gives all outputs whatever was asked."""
    graphs = {name: onnx.reference.ReferenceEvaluator(str(bundle.path(name))) for name in bundle.graphs}

    async def answer(model: str, inputs: Mapping[str, Array], outputs: Sequence[str]) -> Tensors:
        names = [spec.name for spec in bundle.graphs[model].outputs]
        return dict(zip(names, graphs[model].run(names, dict(inputs)), strict=True))

    return FakeBackend(answer)


def ort_of(bundle: Bundle) -> OrtBackend:
    return OrtBackend(bundle, intra_op_threads=1)


def triton_of(bundle: Bundle, url: str, shared_memory_bytes: int = 0) -> TritonBackend:
    return TritonBackend(
        bundle, Metrics(), urls=[url], call_timeout_s=PATIENCE_S, shared_memory_bytes=shared_memory_bytes
    )


@pytest.fixture(params=["ort", "fake", "triton", "triton with shared memory"])
async def backend(request: pytest.FixtureRequest, tiny_bundle: Bundle) -> AsyncIterator[Backend]:
    made: Backend
    if request.param.startswith("triton"):
        url = request.getfixturevalue("tiny_triton").grpc_url
        made = triton_of(tiny_bundle, url, SHARED_BYTES if "memory" in request.param else 0)
    else:
        made = ort_of(tiny_bundle) if request.param == "ort" else fake_of(tiny_bundle)
    yield made
    await made.aclose()


async def test_answers_the_outputs_asked_for_and_no_other(backend: Backend) -> None:
    assert set(await backend.infer("cam", IMAGE, ("maps",))) == {"maps"}
    assert set(await backend.infer("cam", IMAGE, ("maps", "scores"))) == {"maps", "scores"}


async def test_answers_with_the_shapes_and_types_of_the_spec(backend: Backend) -> None:
    found = await backend.infer("cam", IMAGE, ("scores", "maps"))
    assert {name: (array.dtype.name, array.shape) for name, array in found.items()} == {
        "scores": ("float32", (1, 3)),
        "maps": ("float32", (1, 1, 3, 8, 8)),
    }
    np.testing.assert_allclose(found["scores"], [[1.0, 0.0, 0.0]])


async def test_decodes_many_prompts_in_one_run(backend: Backend) -> None:
    features = await backend.infer("sam_encoder", IMAGE, ("embedding", "rest"))
    inputs: Tensors = {
        **features,
        "coords": np.array([[[10, 10], [0, 0]], [[40, 40], [0, 0]]], np.float32),
        "labels": np.array([[1, -1], [1, -1]], np.float32),
        "valid_hw": np.array([64, 64], np.float32),
    }
    found = await backend.infer("sam_decoder", inputs, ("boxes", "iou"))
    np.testing.assert_allclose(found["boxes"][:, 0], [[8, 8, 24, 24], [0, 0, 0, 0]])
    np.testing.assert_allclose(found["iou"][:, 0], [0.95, 0])


async def test_is_ready_until_it_is_closed_and_closes_twice(backend: Backend) -> None:
    assert await backend.ready()
    await backend.aclose()
    await backend.aclose()
    assert not await backend.ready()
    with pytest.raises(BackendUnavailable):
        await backend.infer("cam", IMAGE, ("scores",))


async def test_names_sizes_that_the_bundle_has(backend: Backend, tiny_bundle: Bundle) -> None:
    assert min(tiny_bundle.prompts.buckets_of(backend.kind)) >= 1


async def test_two_calls_at_once_do_not_mix(backend: Backend) -> None:
    colours = {"red": (0, RED), "green": (1, GREEN)}
    pictures = [picture(((8, 8, 24, 24), colour))[None] for _, colour in colours.values()]
    answers = await asyncio.gather(
        *(backend.infer("cam", {"image": image}, ("scores",)) for image in pictures for _ in range(8))
    )
    classes = [int(found["scores"][0].argmax()) for found in answers]
    assert classes == [index for index, _ in colours.values() for _ in range(8)]


@pytest.mark.parametrize(
    ("model", "inputs"),
    [
        pytest.param("nonsense", IMAGE, id="no such graph"),
        pytest.param("cam", {"picture": IMAGE["image"]}, id="no such input"),
        pytest.param("cam", {"image": IMAGE["image"].astype(np.float32)}, id="another element type"),
        pytest.param("cam", {"image": IMAGE["image"][:, :32]}, id="another shape"),
    ],
)
async def test_a_call_that_cannot_work_is_our_own_fault(
    backend: Backend, model: str, inputs: Mapping[str, Array]
) -> None:
    if isinstance(backend, FakeBackend):
        pytest.skip("what it answers with is the test's own")
    with pytest.raises(BackendFailure):
        await backend.infer(model, inputs, ("scores",))
    assert await backend.ready()
