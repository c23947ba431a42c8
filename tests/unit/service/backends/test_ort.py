from __future__ import annotations

import asyncio
import os
import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
from onnxruntime.capi import onnxruntime_pybind11_state as ort_errors

from models.bundle import Bundle
from models.bundle_files.sessions import PROVIDERS
from service.backends.ort import LASTING_ERRORS, PASSING_ERRORS, OrtBackend, mapped_errors
from service.errors import BackendFailure, BackendMismatch, BackendUnavailable, NotAnImage
from tests.support.bundles.service_parts import PATIENCE_S, until
from tests.support.bundles.tiny_bundle import CAM, picture, repaired, write_tiny_bundle


async def test_an_unknown_graph_or_a_wrong_input_is_a_failure_that_names_the_graph(tiny_bundle: Bundle) -> None:
    backend = OrtBackend(tiny_bundle, intra_op_threads=1)
    with pytest.raises(BackendFailure, match="no graph 'detector'"):
        await backend.infer("detector", {}, ("boxes",))
    with pytest.raises(BackendFailure, match="graph cam"):
        await backend.infer("cam", {"image": np.zeros((1, 8, 8, 3), np.uint8)}, ("scores",))
    with pytest.raises(BackendFailure, match="graph cam"):
        await backend.infer("cam", {"image": picture()[None]}, ("no such output",))
    await backend.aclose()


WRONG_GRAPHS = {
    "another size": (
        CAM.replace("B,64,64,3", "B,32,32,3").replace("8,8] maps", "4,4] maps"),
        r"cam has inputs image uint8\[\*,32,32,3\]",
    ),
    "another type": (
        CAM.replace("uint8[B,64,64,3] image", "float[B,64,64,3] image"),
        r"cam has inputs image float32\[\*,64,64,3\]",
    ),
    "another name": (CAM.replace("scores", "logits"), r"cam has outputs logits"),
}


@pytest.mark.parametrize(("text", "sentence"), WRONG_GRAPHS.values(), ids=list(WRONG_GRAPHS))
def test_a_graph_unlike_the_manifest_stops_the_start(tmp_path: Path, text: str, sentence: str) -> None:
    bundle = write_tiny_bundle(tmp_path)
    honest = bundle.graphs["cam"]
    wrong = repaired(bundle, "cam", text)
    with pytest.raises(BackendMismatch, match=sentence):
        OrtBackend(replace(wrong, graphs={**wrong.graphs, "cam": honest}))


def test_a_file_that_is_no_graph_stops_the_start(tmp_path: Path) -> None:
    bundle = write_tiny_bundle(tmp_path)
    bundle.path("wsod").write_bytes(b"not onnx")
    with pytest.raises(BackendMismatch, match=r"wsod.onnx cannot be opened"):
        OrtBackend(bundle)


@pytest.mark.skipif(PROVIDERS["cuda"] in onnxruntime.get_available_providers(), reason="this onnxruntime has CUDA")
def test_a_device_that_is_not_there_stops_the_start(tiny_bundle: Bundle) -> None:
    with pytest.raises(BackendMismatch, match=r"device is 'cuda'.*pip install -e '\.\[gpu\]'"):
        OrtBackend(tiny_bundle, device="cuda")


def test_every_error_of_onnxruntime_is_mapped() -> None:
    raised = {
        error
        for error in vars(ort_errors).values()
        if isinstance(error, type) and issubclass(error, Exception) and error.__module__ == ort_errors.__name__
    }
    assert raised, "onnxruntime's errors lie elsewhere now"
    assert {error.__name__ for error in raised - {*PASSING_ERRORS, *LASTING_ERRORS}} == set()


def test_errors_are_mapped_to_the_most_specific_one() -> None:
    with pytest.raises(BackendUnavailable, match="cam"), mapped_errors("cam"):
        raise MemoryError
    with pytest.raises(BackendUnavailable, match="cam has no memory"), mapped_errors("cam"):
        raise ort_errors.RuntimeException(
            "BFCArena::AllocateRawInternal Failed to allocate memory for requested buffer"
        )
    with pytest.raises(BackendFailure, match="cam: wrong rank"), mapped_errors("cam"):
        raise ort_errors.InvalidArgument("wrong rank")
    with pytest.raises(NotAnImage), mapped_errors("cam"):
        raise NotAnImage("ours passes as it is")


async def test_runs_go_on_at_the_same_time(tiny_bundle: Bundle) -> None:
    backend = OrtBackend(tiny_bundle, intra_op_threads=1, concurrent_runs=2)
    inputs = {"image": picture()[None]}
    answers = await asyncio.gather(*(backend.infer("cam", inputs, ("scores",)) for _ in range(20)))
    assert all((answer["scores"] == 0).all() for answer in answers)
    await backend.aclose()


@pytest.mark.skipif(os.cpu_count() == 1, reason="one core: there is nothing to share")
async def test_a_run_alone_takes_all_cores_and_runs_together_one_each(tiny_bundle: Bundle) -> None:
    backend = OrtBackend(tiny_bundle, concurrent_runs=2)
    go_on, threads = threading.Event(), list[int]()
    for sessions in (backend._alone, backend._together):
        sessions["cam"] = Recorder(sessions["cam"], threads, go_on)
    inputs = {"image": picture()[None]}
    alone = asyncio.create_task(backend.infer("cam", inputs, ("scores",)))
    await until(lambda: len(threads) == 1)
    joined = asyncio.create_task(backend.infer("cam", inputs, ("scores",)))
    await until(lambda: len(threads) == 2)
    go_on.set()
    await asyncio.gather(alone, joined)
    await backend.infer("cam", inputs, ("scores",))
    assert threads == [0, 1, 0]
    await backend.aclose()


@pytest.mark.parametrize("threads", [1, 3])
async def test_a_given_number_of_threads_is_kept(tiny_bundle: Bundle, threads: int) -> None:
    backend = OrtBackend(tiny_bundle, intra_op_threads=threads)
    assert backend._alone is backend._together
    assert backend._alone["cam"].get_session_options().intra_op_num_threads == threads
    await backend.aclose()


class Recorder:
    """A session that notes its number of threads when a run begins, and goes on when it is told to."""

    def __init__(self, session: Any, threads: list[int], go_on: threading.Event) -> None:
        self._session, self._threads, self._go_on = session, threads, go_on

    def run(self, *arguments: Any) -> Any:
        self._threads.append(self._session.get_session_options().intra_op_num_threads)
        assert self._go_on.wait(PATIENCE_S)
        return self._session.run(*arguments)
