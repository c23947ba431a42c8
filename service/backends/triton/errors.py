"""Triton's errors as the service's own."""

from __future__ import annotations

from tritonclient.utils import InferenceServerException

from service.errors import BackendFailure, BackendUnavailable, DeadlineExceeded, ServiceError

RETRY_AFTER_S = 1


class EndpointLost(BackendUnavailable):
    """The endpoint cannot be reached or is shutting down; another endpoint may succeed."""


class EndpointFull(BackendUnavailable):
    """The endpoint runs, but its queue is full; another endpoint may have room in its queue."""


def service_error(error: InferenceServerException, endpoint: str, model: str) -> ServiceError:
    """Return what a failed call means.

    | Triton | meaning |
    |---|---|
    | DEADLINE_EXCEEDED; UNAVAILABLE, "timeout expired" | DeadlineExceeded: in the queue or in the model |
    | UNAVAILABLE, "maximum queue size" | EndpointFull |
    | UNAVAILABLE, CANCELLED; a shared memory region it does not know | EndpointLost: not connected, or shutting down |
    | anything else | BackendFailure: model or input is wrong |
    """
    status = str(error.status() or "").removeprefix("StatusCode.")
    said = f"Triton at {endpoint}, model {model}: {error.message()}"
    text = said.lower()
    if status == "DEADLINE_EXCEEDED" or (status == "UNAVAILABLE" and "timeout expired" in text):
        return DeadlineExceeded("the inference server did not respond within the deadline: send the request later")
    if status == "UNAVAILABLE" and "maximum queue size" in text:
        return EndpointFull("the queue of the inference server is full", retry_after_s=RETRY_AFTER_S)
    if status in {"UNAVAILABLE", "CANCELLED"} or "shared memory region" in text:
        return EndpointLost("the inference server cannot be reached", retry_after_s=RETRY_AFTER_S)
    return BackendFailure(f"{said} ({status or 'in the client'})")
