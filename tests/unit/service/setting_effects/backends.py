"""The bundle and what runs its graphs."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import onnxruntime
import pytest

from models.bundle import Bundle
from models.bundle_files.sessions import PROVIDERS
from service.backends.triton.backend import TritonBackend
from service.errors import BackendMismatch
from service.inference.open_pipeline import create_pipeline
from service.settings import load_settings
from tests.support.bundles.service_parts import (
    tiny_pipeline,
    tiny_settings,
)
from tests.unit.service.setting_effects.calls import Check, client_of


async def check_bundle(bundle: Bundle, _: pytest.MonkeyPatch) -> None:
    async with client_of(bundle) as (client, _pipeline):
        assert (await client.get("/labels")).json()["bundle"]["name"] == "tiny"
    with pytest.raises(ValueError, match=r"nowhere/bundle.json does not exist"):
        create_pipeline(load_settings(bundle=Path("nowhere")))


async def check_intra_op_threads(bundle: Bundle, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []
    real = onnxruntime.InferenceSession

    def record(path: Path, options: Any, **more: Any) -> Any:
        seen.append(options.intra_op_num_threads)
        return real(path, options, **more)

    monkeypatch.setattr(onnxruntime, "InferenceSession", record)
    await tiny_pipeline(bundle.folder, intra_op_threads=3).backend.aclose()
    assert set(seen) == {3}


async def check_device(bundle: Bundle, _: pytest.MonkeyPatch) -> None:
    if PROVIDERS["cuda"] in onnxruntime.get_available_providers():
        pytest.skip("this onnxruntime has CUDA")
    with pytest.raises(BackendMismatch, match="CUDAExecutionProvider"):
        tiny_pipeline(bundle.folder, device="cuda")


async def check_backend_and_urls(bundle: Bundle, _: pytest.MonkeyPatch) -> None:
    with pytest.raises(ValueError, match="WEAKSAM_TRITON_URLS is '': backend is triton: name at least"):
        tiny_settings(bundle.folder, backend="triton")
    with pytest.raises(ValueError, match="'http://triton:8001' is no address: write each as host:port"):
        tiny_settings(bundle.folder, backend="triton", triton_urls="http://triton:8001")
    backend = triton_backend(bundle)
    assert (backend.kind, backend._urls) == ("triton", ("127.0.0.1:1", "127.0.0.1:2"))
    assert not await backend.ready(), "nothing listens there"
    await backend.aclose()
    assert tiny_pipeline(bundle.folder).backend.kind == "onnxruntime"


async def check_triton_probe_s(bundle: Bundle, _: pytest.MonkeyPatch) -> None:
    assert triton_backend(bundle, triton_probe_s=0.25)._probe_s == 0.25


async def check_triton_breaker(bundle: Bundle, _: pytest.MonkeyPatch) -> None:
    assert triton_backend(bundle, triton_breaker_after=3, triton_breaker_open_s=0.5)._breaker == (3, 0.5)


async def check_triton_memory_bytes(bundle: Bundle, _: pytest.MonkeyPatch) -> None:
    assert triton_backend(bundle)._memory is None
    backend = triton_backend(bundle, triton_memory_bytes=4096)
    assert backend._memory is not None
    name = backend._memory.name
    assert os.stat(f"/dev/shm/{name}").st_size == 4096  # noqa: PTH116
    await backend.aclose()
    assert name not in os.listdir("/dev/shm")  # noqa: PTH208


def triton_backend(bundle: Bundle, **changes: Any) -> TritonBackend:
    settings = {"backend": "triton", "triton_urls": "127.0.0.1:1, 127.0.0.1:2", **changes}
    backend = create_pipeline(tiny_settings(bundle.folder, **settings)).backend
    assert isinstance(backend, TritonBackend)
    return backend


CHECKS: dict[str, Check] = {
    "backend": check_backend_and_urls,
    "bundle": check_bundle,
    "device": check_device,
    "intra_op_threads": check_intra_op_threads,
    "triton_breaker_after": check_triton_breaker,
    "triton_breaker_open_s": check_triton_breaker,
    "triton_memory_bytes": check_triton_memory_bytes,
    "triton_probe_s": check_triton_probe_s,
    "triton_urls": check_backend_and_urls,
}
