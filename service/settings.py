"""Settings of the service, read once from the environment when it starts."""

from __future__ import annotations

import difflib
import os
import re
from collections.abc import Iterable
from dataclasses import replace
from ipaddress import IPv4Network, IPv6Network, ip_network
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, ValidationError, ValidationInfo, field_validator
from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings, SettingsConfigDict

from models.bundle import DEFAULT_BUNDLE
from weaksam.errors import UserError
from weaksam.findings import Fault, faults_of
from weaksam.variables import API_KEY_VARIABLE, WEIGHTS_URL_VARIABLE

ENV_PREFIX = "WEAKSAM_"

_ORIGIN = re.compile(r"https?://[^/*\s]+")
_ADDRESS = re.compile(r"[^/:\s]+:\d{1,5}|\[[0-9a-fA-F:]+\]:\d{1,5}")
_HOST = re.compile(r"(?:[A-Za-z0-9._-]+|\[[0-9a-fA-F:.]+\])(?::\d{1,5})?")
_BASE_URL = re.compile(r"https?://[^/?#@*\s]+(?:/[^?#\s]*)?")
_ENDPOINT = re.compile(r"https?://\S+")


class Settings(BaseSettings):
    """Settings; each field is an environment variable, ``WEAKSAM_`` and its name in capitals."""

    model_config = SettingsConfigDict(env_prefix=ENV_PREFIX, frozen=True, extra="forbid")

    host: str = Field("127.0.0.1", description="Address to listen on.")
    port: int = Field(8000, ge=0, le=65535, description="Port to listen on; 0 takes any free one.")
    root_path: str = Field(
        "", pattern=r"^(/[^/?#]+)*$", description="Prefix of all paths behind a proxy, such as `/weaksam`."
    )
    drain_s: float = Field(
        0.0,
        ge=0,
        description="Time between SIGTERM and the closing of the port; /readyz returns 503 meanwhile.",
    )
    shutdown_grace_s: int = Field(
        35,
        ge=0,
        description="Time to finish accepted requests after the port is closed; below deadline_s, some are cut off.",
    )
    log_level: Literal["debug", "info", "warning", "error"] = Field("info", description="Lowest level that is logged.")
    bundle: Path = Field(DEFAULT_BUNDLE, description="Folder of the bundle to serve.")
    backend: Literal["onnxruntime", "triton"] = Field(
        "onnxruntime", description="What runs the graphs: onnxruntime in the service's process, or Triton."
    )
    triton_urls: str = Field(
        "",
        validate_default=True,
        description="gRPC addresses of the Tritons that serve the bundle, as `host:port`, comma-separated.",
    )
    triton_probe_s: float = Field(1.0, gt=0, description="Time between two health checks of a Triton.")
    triton_breaker_after: int = Field(
        5, ge=1, description="Failures in a row after which a Triton is not used for a while."
    )
    triton_breaker_open_s: float = Field(5.0, gt=0, description="How long a Triton is not used after such failures.")
    triton_memory_bytes: int = Field(
        0, ge=0, description="Shared memory for inputs to Tritons on the same host; 0 sends them over the network."
    )
    device: Literal["cpu", "cuda"] = Field("cpu", description="Device on which onnxruntime runs the graphs.")
    intra_op_threads: int = Field(
        0, ge=0, description="Threads of onnxruntime within one operator; 0: all cores if one graph runs alone, else 1."
    )
    workers: int = Field(2, ge=1, description="Requests that run at the same time.")
    queue_size: int = Field(32, ge=0, description="Requests that may wait for a worker; more get 503.")
    upload_s: float = Field(60.0, gt=0, description="Time limit for a request's body to arrive; then 408.")
    deadline_s: float = Field(
        30.0, gt=0, description="Time limit of a request after its body has arrived, its wait included; then 504."
    )
    cache_bytes: int = Field(256 * 2**20, ge=0, description="Memory for cached intermediate results; 0 caches nothing.")
    upload_bytes: int = Field(
        192 * 2**20, ge=1, description="Memory for the bodies of all unfinished requests; then 503."
    )
    keep_alive_s: int = Field(
        75, ge=1, description="How long an idle connection stays open; set it above the idle time of a proxy in front."
    )
    max_body_bytes: int = Field(32 * 2**20, ge=1, description="Largest request body; more gets 413.")
    max_pixels: int = Field(50_000_000, ge=1, description="Most pixels of an image that are decoded; more get 413.")
    max_declared_pixels: int = Field(
        400_000_000,
        ge=1,
        description="Most pixels of a JPEG; above max_pixels it is decoded at 1/2, 1/4 or 1/8 of its size.",
    )
    max_tags: int = Field(100, ge=1, description="Largest number of different tags in a request; more get 422.")
    max_detections: int = Field(
        100,
        ge=1,
        description="Most detections in a response; a request may ask for fewer by `max_detections`.",
    )
    zoom: bool = Field(
        False,
        description="Default of the option `zoom`: better masks of small objects, for more runs of the segmenter.",
    )
    api_keys_file: Path | None = Field(
        None, description="File that `weaksam keys` writes; with it most paths need an API key."
    )
    api_key_rate_per_s: float = Field(
        0.0, ge=0, description="Requests per second of a key without a rate of its own; more get 429; 0 is no limit."
    )
    api_key_burst: int = Field(
        20, ge=1, description="Requests that a key without a rate of its own may send at once after a pause."
    )
    open_metrics: bool = Field(False, description="Whether GET /metrics needs no API key.")
    cors_origins: str = Field("", description="Origins whose web pages may call the service, comma-separated.")
    page: bool = Field(True, description="Whether the labelling page is served at /.")
    label_studio_url: str | None = Field(
        None, description="Address of Label Studio, as `https://host`; images of its tasks are fetched from it."
    )
    label_studio_token_file: Path | None = Field(
        None, description="File with the token of Label Studio, needed to fetch its images."
    )
    label_studio_predict_s: float = Field(
        90.0, gt=0, description="Time limit for a call from Label Studio; keep it below Label Studio's own limit, 100."
    )
    image_hosts: str = Field(
        "",
        description="Further hosts to fetch images of labelling tools from, as `host` or `host:port`, comma-separated.",
    )
    image_networks: str = Field(
        "", description="Private networks in which such hosts may lie, such as `10.0.0.0/8`, comma-separated."
    )
    image_fetch_s: float = Field(15.0, gt=0, description="Time limit for an image to be fetched.")
    otlp_endpoint: str | None = Field(
        None, description="Address of the collector to send traces to, as `http://host:4318`."
    )

    @property
    def triton_endpoints(self) -> list[str]:
        """Addresses in `triton_urls`."""
        return _items(self.triton_urls)

    @property
    def allowed_origins(self) -> list[str]:
        """Origins in `cors_origins`."""
        return _items(self.cors_origins)

    @property
    def allowed_image_hosts(self) -> frozenset[str]:
        """Hosts in `image_hosts`."""
        return frozenset(_items(self.image_hosts.lower()))

    @property
    def allowed_image_networks(self) -> tuple[IPv4Network | IPv6Network, ...]:
        """Networks in `image_networks`."""
        return tuple(map(ip_network, _items(self.image_networks)))

    @field_validator("image_hosts")
    @classmethod
    def _are_hosts(cls, value: str) -> str:
        for host in _items(value):
            if not _HOST.fullmatch(host):
                raise ValueError(f"{host!r} is no host: write each as host or host:port, without http:// and *")
        return value

    @field_validator("image_networks")
    @classmethod
    def _are_networks(cls, value: str) -> str:
        for text in _items(value):
            try:
                ip_network(text)
            except ValueError as error:
                raise ValueError(f"{text!r} is no network such as 10.0.0.0/8: {error}") from error
        return value

    @field_validator("label_studio_url")
    @classmethod
    def _is_base_url(cls, value: str | None) -> str | None:
        if value is not None and not _BASE_URL.fullmatch(value):
            raise ValueError("give the address of Label Studio, such as https://label.example or http://10.0.0.1:8080")
        return None if value is None else value.rstrip("/")

    @field_validator("label_studio_token_file")
    @classmethod
    def _is_file(cls, value: Path | None) -> Path | None:
        if value is not None and not value.is_file():
            raise ValueError("there is no such file: write the token of Label Studio's account page into it")
        return value

    @field_validator("triton_urls")
    @classmethod
    def _are_addresses(cls, value: str, info: ValidationInfo) -> str:
        for url in _items(value):
            if not _ADDRESS.fullmatch(url):
                raise ValueError(f"{url!r} is no address: write each as host:port, without http://")
        if info.data.get("backend") == "triton" and not _items(value):
            raise ValueError("backend is triton: name at least one Triton, such as 127.0.0.1:8001")
        return value

    @field_validator("cors_origins")
    @classmethod
    def _are_origins(cls, value: str) -> str:
        for origin in _items(value):
            if not _ORIGIN.fullmatch(origin):
                raise ValueError(f"{origin!r} is no origin: write each as https://host or https://host:port, without *")
        return value

    @field_validator("otlp_endpoint")
    @classmethod
    def _is_url(cls, value: str | None) -> str | None:
        if value is not None and not _ENDPOINT.fullmatch(value):
            raise ValueError("give the URL of a collector, such as http://127.0.0.1:4318")
        return value


def load_settings(**overrides: Any) -> Settings:
    """Read settings from the environment; `overrides` win.

    Raises:
        UserError: a variable is wrong or unknown; it names the variable, its value and what is allowed.
    """
    _check_names(os.environ)
    try:
        return Settings(**overrides)
    except ValidationError as error:
        raise UserError("; ".join(map(_sentence, faults_of(error.errors())))) from error


def shown_default(field: FieldInfo) -> str:
    """Return the default of a setting in words, or as its variable would hold it."""
    if field.default == DEFAULT_BUNDLE:
        return "the one installed"
    if field.default in (None, ""):
        return "none"
    return str(field.default).lower() if isinstance(field.default, bool) else str(field.default)


def _items(text: str) -> list[str]:
    """Return what stands between commas, without blanks around it and without empty parts."""
    return [item.strip() for item in text.split(",") if item.strip()]


def _sentence(fault: Fault) -> str:
    return replace(fault, field=f"{ENV_PREFIX}{fault.field.upper()}").sentence("")


def _check_names(environment: Iterable[str]) -> None:
    # A misspelt variable would silently leave its setting at the default. The last two are of commands that may share
    # an environment with the service.
    known = [*(f"{ENV_PREFIX}{name.upper()}" for name in Settings.model_fields), API_KEY_VARIABLE, WEIGHTS_URL_VARIABLE]
    unknown = sorted({name.upper() for name in environment if name.upper().startswith(ENV_PREFIX)} - set(known))
    if unknown:
        raise UserError("; ".join(f"{name} is no setting: {_remedy(name, known)}" for name in unknown))


def _remedy(name: str, known: Iterable[str]) -> str:
    by_ending = {other.removeprefix(ENV_PREFIX): other for other in known}
    nearest = difflib.get_close_matches(name.removeprefix(ENV_PREFIX), by_ending, n=1)
    return (
        f"did you mean {by_ending[nearest[0]]}?" if nearest else "unset it; `weaksam serve --help` lists the settings"
    )
