"""Checks that the models which a Triton serves are those of the bundle."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from models.bundle import Bundle, TensorSpec
from models.triton import TRITON_TYPES, digest_parameter, has_batch_axis, sequence_number, triton_dims
from service.errors import BackendMismatch

REMEDY = "write the bundle with `weaksam triton` into the repository that this Triton serves"


def check_model(bundle: Bundle, graph: str, metadata: Any, config: Any) -> None:
    """Compare one served model with the bundle.

    Args:
        metadata: Triton's ModelMetadataResponse for the bundle's version.
        config: Triton's ModelConfig.

    Raises:
        BackendMismatch: they differ; it names the model and the difference.
    """
    name = digest_parameter(sequence_number(bundle))
    digest = config.parameters[name].string_value if name in config.parameters else "none"
    if digest != bundle.digest:
        raise BackendMismatch(
            f"model {graph} in Triton has {name} {digest}, the bundle has the digest {bundle.digest}: {REMEDY}"
        )
    spec = bundle.graphs[graph]
    batched = has_batch_axis(spec)
    for side, wanted, found in (
        ("inputs", spec.inputs, metadata.inputs),
        ("outputs", spec.outputs, metadata.outputs),
    ):
        expected = [_wanted(tensor, batched=batched) for tensor in wanted]
        served = [f"{tensor.name} {tensor.datatype}{list(tensor.shape)}" for tensor in found]
        if sorted(served) != sorted(expected):
            raise BackendMismatch(
                f"model {graph} in Triton has {side} {_listed(served)}, the bundle {_listed(expected)}: {REMEDY}"
            )


def _wanted(tensor: TensorSpec, *, batched: bool) -> str:
    # Triton's metadata shows the batch axis as -1; its configuration leaves it out.
    dims = [-1] * batched + triton_dims(tensor, batched=batched)
    return f"{tensor.name} {TRITON_TYPES[tensor.dtype]}{dims}"


def _listed(tensors: Iterable[str]) -> str:
    return ", ".join(tensors)
