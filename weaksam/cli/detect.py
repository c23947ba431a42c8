"""`weaksam detect`: the service's pipeline on one image, without a server."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Annotated, Literal

import typer
from rich.console import Console
from rich.table import Table

from models.image import DecodedImage, decode_image
from service.errors import ServiceError
from service.settings import Settings, load_settings
from weaksam.errors import UserError
from weaksam.image_bytes import read_image_bytes
from weaksam.schemas import DetectOptions, DetectResult, TagRow


def detect(
    image: Annotated[Path, typer.Argument(help="The image: JPEG, PNG, WebP, AVIF, TIFF, BMP or GIF.")],
    tags: Annotated[
        str, typer.Option(help="What is in it, such as wrench,bolt. Without tags the models propose some.")
    ] = "",
    overlay: Annotated[Path | None, typer.Option(help="Where to write the image with what was found, PNG.")] = None,
    json_out: Annotated[
        Path | None,
        typer.Option("--json", dir_okay=False, help="Where to write the result, as POST /detect returns it."),
    ] = None,
    bundle: Annotated[Path | None, typer.Option(help="Folder of the bundle.", show_default="the one installed")] = None,
    min_score: Annotated[
        float | None,
        typer.Option(min=0, max=1, help="Minimum score of a detection; default: that of each class in the bundle."),
    ] = None,
    unknown_tags: Annotated[
        Literal["error", "skip"], typer.Option(help="Refuse a tag that is no label, or leave it out.")
    ] = "error",
    zoom: Annotated[bool, typer.Option("--zoom", help="Look at small objects again, enlarged: better masks.")] = False,
) -> None:
    """Find the tagged objects in one image, in this process: no server is needed."""
    options = DetectOptions(min_score=min_score, unknown_tags=unknown_tags, zoom=zoom or None)
    settings = load_settings() if bundle is None else load_settings(bundle=bundle)
    decoded = decode_image(
        read_image_bytes(image), max_pixels=settings.max_pixels, max_declared_pixels=settings.max_declared_pixels
    )
    if overlay is not None:
        decoded = decoded.at_decoded_size()
    try:
        result = asyncio.run(_detect(settings, decoded, tags.split(","), options))
    except ServiceError as error:
        raise UserError(error.detail) from error
    _write(decoded, result, overlay, json_out)
    _print(Console(markup=False), result)


async def _detect(settings: Settings, image: DecodedImage, tags: list[str], options: DetectOptions) -> DetectResult:
    from service.inference.open_pipeline import create_pipeline

    pipeline = create_pipeline(settings)
    try:
        return await pipeline.detect(image, tags, options)
    finally:
        await pipeline.backend.aclose()


def _write(image: DecodedImage, result: DetectResult, overlay: Path | None, json_out: Path | None) -> None:
    from service.inference.overlay import draw_overlay

    if overlay is not None:
        overlay.write_bytes(draw_overlay(image.image_hwc_u8, result))
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
        return f"found {tag.count}" + (", proposed" if tag.predicted else "")
    if tag.status == "unknown":
        return f"unknown; the nearest labels are {', '.join(tag.nearest)}"
    return f"not found, lost at: {tag.stage}"
