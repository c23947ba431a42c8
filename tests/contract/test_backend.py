"""What every backend keeps, one table for all."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping, Sequence

import numpy as np
import onnx.reference
import pytest

from models.bundle import Bundle
from service.backends.base import Array, Backend, Tensors
from service.backends.fake import FakeBackend
from service.backends.ort import OrtBackend
from service.errors import BackendUnavailable
from tests.support.service_parts import RED
from tests.support.tiny_bundle import picture

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


MAKERS: dict[str, Callable[[Bundle], Backend]] = {"ort": ort_of, "fake": fake_of}


@pytest.fixture(params=list(MAKERS))
async def backend(request: pytest.FixtureRequest, tiny_bundle: Bundle) -> AsyncIterator[Backend]:
    made = MAKERS[request.param](tiny_bundle)
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
    embedding = (await backend.infer("sam_encoder", IMAGE, ("embedding",)))["embedding"]
    inputs: Tensors = {
        "embedding": embedding,
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
    assert backend.kind in tiny_bundle.prompts.prompt_buckets
