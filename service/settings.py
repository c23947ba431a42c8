"""Settings of the service, read once from the environment when it starts."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from pydantic import Field, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from models.bundle import DEFAULT_BUNDLE

ENV_PREFIX = "WEAKSAM_"


class Settings(BaseSettings):
    """Each field is an environment variable: ``WEAKSAM_`` and the field's name in capitals."""

    model_config = SettingsConfigDict(env_prefix=ENV_PREFIX, frozen=True, extra="forbid")

    host: str = Field("127.0.0.1", description="Address to listen on.")
    port: int = Field(8000, ge=0, le=65535, description="Port to listen on; 0 takes any free one.")
    shutdown_grace_s: int = Field(10, ge=0, description="Time that running requests get when the service is stopped.")
    log_level: Literal["debug", "info", "warning", "error"] = Field("info", description="Least level that is logged.")
    bundle: Path = Field(DEFAULT_BUNDLE, description="Folder of the bundle to serve.")
    device: Literal["cpu", "cuda"] = Field("cpu", description="Where onnxruntime runs the graphs.")
    intra_op_threads: int = Field(
        0, ge=0, description="Threads of onnxruntime within one operator; 0 takes one per core."
    )
    workers: int = Field(2, ge=1, description="Requests worked on at the same time.")
    queue_size: int = Field(32, ge=0, description="Requests that may wait for a worker; more are answered with 503.")
    deadline_s: float = Field(30.0, gt=0, description="Longest time of a request, waiting and work together; then 504.")
    cache_bytes: int = Field(256 * 2**20, ge=0, description="Memory for intermediate results; 0 keeps none.")
    max_body_bytes: int = Field(32 * 2**20, ge=1, description="Largest request body; more is answered with 413.")
    max_pixels: int = Field(50_000_000, ge=1, description="Largest picture, width times height; more is 413.")
    max_tags: int = Field(100, ge=1, description="Most different tags of a request; more is 422.")
    max_detections: int = Field(
        100, ge=1, description="Most detections of an answer, and the default of the request's own `max_detections`."
    )


def load_settings(**overrides: Any) -> Settings:
    """Settings from the environment, with `overrides` above it.

    Raises:
        ValueError: naming each variable that is wrong, its value and what is allowed.
    """
    try:
        return Settings(**overrides)
    except ValidationError as error:
        wrong = [
            f"{ENV_PREFIX}{'.'.join(map(str, row['loc'])).upper()} is {row['input']!r}: {row['msg']}"
            for row in error.errors()
        ]
        raise ValueError("; ".join(wrong)) from error
