"""A backend that cannot serve the bundle is not left open."""

from __future__ import annotations

from dataclasses import replace

import pytest

from models.bundle import Bundle
from service.backends.open_backend import open_backend
from service.backends.ort import OrtBackend
from service.errors import BackendMismatch
from service.observability.metrics import Metrics
from tests.support.bundles.service_parts import tiny_settings


def test_no_session_is_opened_for_a_bundle_without_run_sizes(
    tiny_bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[Bundle] = []
    monkeypatch.setattr(OrtBackend, "__init__", lambda self, bundle, **options: opened.append(bundle))
    bundle = replace(tiny_bundle, prompts=replace(tiny_bundle.prompts, prompt_buckets={}))
    with pytest.raises(BackendMismatch, match="names triton, not onnxruntime"):
        open_backend(tiny_settings(bundle.folder), bundle, Metrics())
    assert opened == []
