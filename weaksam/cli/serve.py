"""`weaksam serve` and `weaksam detect`: the command lines of the service and of its pipeline without a server."""

from __future__ import annotations

import asyncio
import inspect
import logging
import socket
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Annotated, Any, Literal

import typer
from rich.console import Console
from rich.table import Table

from models.bundle import DEFAULT_BUNDLE
from models.image import DecodedImage, decode_image
from service.errors import ServiceError
from service.observability.logs import LOGGER_NAME
from service.settings import ENV_PREFIX, Settings, load_settings
from weaksam.schemas import DetectOptions, DetectResult, TagRow

logger = logging.getLogger(LOGGER_NAME)


def serve(**given: Any) -> None:
    """Answer POST /detect over HTTP. Each option can be set in the environment too; the command line wins."""
    from service.app import create_server

    settings = load_settings(**_chosen(given))
    # Bound before anything is loaded: a port in use is told at once, and in one sentence.
    with _listen(settings.host, settings.port) as listener, suppress(KeyboardInterrupt):
        server = create_server(settings)
        logger.info("listening on http://%s:%d, reference at /docs", settings.host, listener.getsockname()[1])
        server.run(sockets=[listener])


def _listen(host: str, port: int) -> socket.socket:
    try:
        return socket.create_server((host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET)
    except OSError as error:
        raise OSError(f"cannot listen: {error.strerror}: give another --host or --port") from error


def _flags() -> Iterator[inspect.Parameter]:
    """One option for each field of the settings, so that the two cannot differ."""
    for name, field in Settings.model_fields.items():
        default = "the one installed" if field.default == DEFAULT_BUNDLE else str(field.default)
        option = typer.Option(None, help=f"{field.description} [{ENV_PREFIX}{name.upper()}]", show_default=default)
        kind: Any = field.annotation
        yield inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=option, annotation=kind | None)


serve.__signature__ = inspect.Signature(list(_flags()))  # type: ignore[attr-defined]


def detect(
    image: Annotated[Path, typer.Argument(help="The picture: JPEG, PNG, WebP, TIFF, BMP or GIF.")],
    tags: Annotated[str, typer.Option(help="What is in it, a,b,c. None: the classifier proposes tags.")] = "",
    overlay: Annotated[Path | None, typer.Option(help="Where to write the picture with what was found, PNG.")] = None,
    json_out: Annotated[Path | None, typer.Option("--json", help="Where to write the answer of POST /detect.")] = None,
    bundle: Annotated[Path | None, typer.Option(help="Folder of the bundle.", show_default="the one installed")] = None,
    min_score: Annotated[
        float | None, typer.Option(min=0, max=1, help="Least score of a detection; default: calibrated per class.")
    ] = None,
    unknown_tags: Annotated[
        Literal["error", "skip"], typer.Option(help="Refuse a tag that is no label, or leave it out.")
    ] = "error",
) -> None:
    """Find the tagged things in one picture, in this process: no server is needed."""
    options = DetectOptions(min_score=min_score, unknown_tags=unknown_tags)
    settings = load_settings(**_chosen({"bundle": bundle}))
    picture = decode_image(image.read_bytes(), max_pixels=settings.max_pixels)
    try:
        result = asyncio.run(_detect(settings, picture, tags.split(","), options))
    except ServiceError as error:
        raise ValueError(error.detail) from error
    _write(picture, result, overlay, json_out)
    _print(Console(markup=False), result)


async def _detect(settings: Settings, picture: DecodedImage, tags: list[str], options: DetectOptions) -> DetectResult:
    from service.inference.open_pipeline import create_pipeline

    pipeline = create_pipeline(settings)
    try:
        return await pipeline.detect(picture, tags, options)
    finally:
        await pipeline.backend.aclose()


def _chosen(given: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in given.items() if value is not None}


def _write(picture: DecodedImage, result: DetectResult, overlay: Path | None, json_out: Path | None) -> None:
    from service.inference.overlay import draw_overlay

    if overlay is not None:
        overlay.write_bytes(draw_overlay(picture.image_hwc_u8, result))
    if json_out is not None:
        json_out.write_text(result.model_dump_json(indent=1) + "\n", encoding="utf-8")


def _print(console: Console, result: DetectResult) -> None:
    found = Table("label", "score", "x0", "y0", "x1", "y1", title="Detections, boxes in pixels")
    for row in result.detections:
        found.add_row(row.label, f"{row.score:.3f}", *(f"{side:.1f}" for side in row.box_xyxy))
    ledger = Table("tag", "outcome", "best score", title="Tags")
    for tag in result.tags:
        best = "" if tag.best_score is None else f"{tag.best_score:.3f}"
        ledger.add_row(tag.tag, _outcome(tag), best)
    console.print(found, ledger)


def _outcome(tag: TagRow) -> str:
    if tag.status == "found":
        return f"found {tag.count}" + (", proposed by the classifier" if tag.predicted else "")
    if tag.status == "unknown":
        return f"unknown; the nearest labels are {', '.join(tag.nearest)}"
    return f"not found, lost at: {tag.stage}"
