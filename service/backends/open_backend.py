"""From settings to a backend. The library of a backend that is not used need not be installed."""

from __future__ import annotations

from models.bundle import Bundle
from service.backends.base import Backend
from service.backends.run_sizes import run_sizes
from service.observability.metrics import Metrics
from service.settings import Settings

# `cam` and `sam_encoder` of one request run at the same time.
RUNS_PER_REQUEST = 2


def open_backend(settings: Settings, bundle: Bundle, metrics: Metrics) -> Backend:
    """Open the backend that `settings` name, for `bundle`. The caller closes it.

    Raises:
        BackendMismatch: it cannot serve the bundle.
    """
    if settings.backend == "triton":
        from service.backends.triton.backend import TritonBackend  # noqa: PLC0415 - needs the extra `triton`

        return TritonBackend(
            bundle,
            metrics,
            urls=settings.triton_endpoints,
            call_timeout_s=settings.deadline_s,
            probe_s=settings.triton_probe_s,
            breaker_failures=settings.triton_breaker_after,
            breaker_open_s=settings.triton_breaker_open_s,
            shared_memory_bytes=settings.triton_memory_bytes,
        )
    from service.backends.ort import OrtBackend  # noqa: PLC0415 - needs the extra `cpu` or `gpu`

    run_sizes(bundle, OrtBackend.kind)  # checked before there are sessions and threads that nobody would close
    return OrtBackend(
        bundle,
        device=settings.device,
        intra_op_threads=settings.intra_op_threads,
        concurrent_runs=RUNS_PER_REQUEST * settings.workers,
    )
