"""Settings of the service, read once from the environment when it starts."""

from __future__ import annotations

import difflib
import os
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, ValidationError, ValidationInfo, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from models.bundle import DEFAULT_BUNDLE

ENV_PREFIX = "WEAKSAM_"

# Read by `weaksam label`, which may share an environment with the service.
API_KEY_VARIABLE = "WEAKSAM_API_KEY"

_ORIGIN = re.compile(r"https?://[^/*\s]+")
_ADDRESS = re.compile(r"[^/:\s]+:\d{1,5}|\[[0-9a-fA-F:]+\]:\d{1,5}")
_ENDPOINT = re.compile(r"https?://\S+")


class Settings(BaseSettings):
    """Each field is an environment variable: ``WEAKSAM_`` and the field's name in capitals."""

    model_config = SettingsConfigDict(env_prefix=ENV_PREFIX, frozen=True, extra="forbid")

    host: str = Field("127.0.0.1", description="Address to listen on.")
    port: int = Field(8000, ge=0, le=65535, description="Port to listen on; 0 takes any free one.")
    drain_s: float = Field(
        0.0, ge=0, description="Time between /readyz saying 503 and the port being closed when the service is stopped."
    )
    shutdown_grace_s: int = Field(
        35, ge=0, description="Time that accepted requests get after that; less than deadline_s cuts some of them off."
    )
    log_level: Literal["debug", "info", "warning", "error"] = Field("info", description="Least level that is logged.")
    bundle: Path = Field(DEFAULT_BUNDLE, description="Folder of the bundle to serve.")
    backend: Literal["onnxruntime", "triton"] = Field(
        "onnxruntime", description="What runs the graphs: onnxruntime in the service's own process, or Triton."
    )
    triton_urls: str = Field(
        "",
        validate_default=True,
        description="gRPC addresses of Tritons that serve the bundle, `host:port`, comma-separated.",
    )
    triton_probe_s: float = Field(1.0, gt=0, description="Time between looks at the health of each Triton.")
    triton_breaker_after: int = Field(
        5, ge=1, description="Failures of a Triton in a row after which it is left alone for a while."
    )
    triton_breaker_open_s: float = Field(5.0, gt=0, description="How long it is left alone then.")
    triton_memory_bytes: int = Field(
        0, ge=0, description="Memory shared with Tritons on the same host, for inputs; 0 sends them over the wire."
    )
    device: Literal["cpu", "cuda"] = Field("cpu", description="Where onnxruntime runs the graphs.")
    intra_op_threads: int = Field(
        0, ge=0, description="Threads of onnxruntime within one operator; 0 takes one per core."
    )
    workers: int = Field(2, ge=1, description="Requests worked on at the same time.")
    queue_size: int = Field(32, ge=0, description="Requests that may wait for a worker; more are answered with 503.")
    upload_s: float = Field(60.0, gt=0, description="Longest time for a request's body to arrive; then 408.")
    deadline_s: float = Field(
        30.0, gt=0, description="Longest time of a request after that, waiting and work together; then 504."
    )
    cache_bytes: int = Field(256 * 2**20, ge=0, description="Memory for intermediate results; 0 keeps none.")
    upload_bytes: int = Field(
        192 * 2**20, ge=1, description="Memory for the bodies of all requests being read or worked on; then 503."
    )
    keep_alive_s: int = Field(
        75, ge=1, description="How long an idle connection stays open; longer than a proxy in front keeps its own."
    )
    max_body_bytes: int = Field(32 * 2**20, ge=1, description="Largest request body; more is answered with 413.")
    max_pixels: int = Field(50_000_000, ge=1, description="Largest picture, width times height; more is 413.")
    max_tags: int = Field(100, ge=1, description="Most different tags of a request; more is 422.")
    max_detections: int = Field(
        100, ge=1, description="Most detections of an answer, and the default of the request's own `max_detections`."
    )
    api_keys_file: Path | None = Field(
        None, description="File of `weaksam keys`; with it every page but the probes needs an API key."
    )
    api_key_rate_per_s: float = Field(
        0.0, ge=0, description="Requests per second of a key that has no rate of its own; more is 429; 0 is no limit."
    )
    api_key_burst: int = Field(20, ge=1, description="Requests at once of such a key after a pause.")
    open_metrics: bool = Field(False, description="Whether GET /metrics needs no API key.")
    cors_origins: str = Field("", description="Origins whose web pages may call the service, comma-separated.")
    otlp_endpoint: str | None = Field(None, description="Collector that traces are sent to, http://host:4318.")

    @property
    def triton_endpoints(self) -> list[str]:
        """`triton_urls` one by one."""
        return [url.strip() for url in self.triton_urls.split(",") if url.strip()]

    @property
    def allowed_origins(self) -> list[str]:
        """`cors_origins` one by one."""
        return [origin.strip() for origin in self.cors_origins.split(",") if origin.strip()]

    @field_validator("triton_urls")
    @classmethod
    def _are_addresses(cls, value: str, info: ValidationInfo) -> str:
        for url in filter(None, map(str.strip, value.split(","))):
            if not _ADDRESS.fullmatch(url):
                raise ValueError(f"{url!r} is no address: name each as host:port, without http://")
        if info.data.get("backend") == "triton" and not value.strip(", "):
            raise ValueError("backend is triton: name at least one Triton, such as 127.0.0.1:8001")
        return value

    @field_validator("cors_origins")
    @classmethod
    def _are_origins(cls, value: str) -> str:
        for origin in filter(None, map(str.strip, value.split(","))):
            if not _ORIGIN.fullmatch(origin):
                raise ValueError(f"{origin!r} is no origin: name each as https://host or https://host:port, without *")
        return value

    @field_validator("otlp_endpoint")
    @classmethod
    def _is_url(cls, value: str | None) -> str | None:
        if value is not None and not _ENDPOINT.fullmatch(value):
            raise ValueError("give the URL of a collector, such as http://127.0.0.1:4318")
        return value


def load_settings(**overrides: Any) -> Settings:
    """Settings from the environment, with `overrides` above it.

    Raises:
        ValueError: naming each variable that is wrong, its value and what is allowed; or that no setting has its name.
    """
    _check_names(os.environ)
    try:
        return Settings(**overrides)
    except ValidationError as error:
        wrong = [
            f"{ENV_PREFIX}{'.'.join(map(str, row['loc'])).upper()} is {row['input']!r}: {row['msg']}"
            for row in error.errors()
        ]
        raise ValueError("; ".join(wrong)) from error


def _check_names(environment: Iterable[str]) -> None:
    """A misspelt variable would leave its setting at the default without a word."""
    known = [*(f"{ENV_PREFIX}{name.upper()}" for name in Settings.model_fields), API_KEY_VARIABLE]
    unknown = sorted({name.upper() for name in environment if name.upper().startswith(ENV_PREFIX)} - set(known))
    if unknown:
        nearest = {name: difflib.get_close_matches(name, known, n=1, cutoff=0.0)[0] for name in unknown}
        raise ValueError("; ".join(f"{name} is no setting: did you mean {nearest[name]}?" for name in unknown))
