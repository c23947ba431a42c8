"""`weaksam replay`: the command line of `weaksam.labelling.replay`."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from weaksam.cli.labelling.api_key import ApiKeyFileOption
from weaksam.cli.progress import progress
from weaksam.client import AsyncClient, ClientError
from weaksam.errors import UserError
from weaksam.files.api_key import read_api_key
from weaksam.files.image_source import open_path
from weaksam.formats.labelled import LabelledSet, read_labelled
from weaksam.labelling.replay import Replay, Tolerance
from weaksam.labelling.replay import replay as run_again

DIFFERENT_STATUS = 1


def replay(
    result: Annotated[Path, typer.Argument(help="Folder that `weaksam label` wrote.")],
    images: Annotated[str, typer.Option(help="Folder of the images, or its address.")],
    server: Annotated[str, typer.Option(help="Address of the service.")] = "http://127.0.0.1:8000",
    limit: Annotated[int | None, typer.Option(min=1, help="Send only this many images, the first ones.")] = None,
    concurrency: Annotated[int, typer.Option(min=1, help="Maximum requests at once.")] = 4,
    score_tolerance: Annotated[
        float, typer.Option(min=0, help="Largest difference of scores that does not count.")
    ] = 0.001,
    box_tolerance_px: Annotated[float, typer.Option(min=0, help="The same for boxes, in pixels.")] = 0.5,
    min_mask_iou: Annotated[
        float, typer.Option(min=0, max=1, help="Masks with at least this IoU count as equal.")
    ] = 0.99,
    api_key_file: ApiKeyFileOption = None,
) -> None:
    """Run a stored labelling run again, with its tags and options. The exit status is 1 if anything is different."""
    labelled = read_labelled(result)
    labelled = replace(labelled, images=labelled.images[:limit])
    tolerance = Tolerance(score_tolerance, box_tolerance_px, min_mask_iou)
    client = AsyncClient(server, max_concurrent=concurrency, api_key=read_api_key(api_key_file))
    try:
        outcome = asyncio.run(_run(labelled, open_path(images), client, tolerance, concurrency))
    except ClientError as error:
        raise UserError(str(error)) from error
    _print(outcome)
    raise typer.Exit(0 if outcome.equal else DIFFERENT_STATUS)


async def _run(
    labelled: LabelledSet, images: Path, client: AsyncClient, tolerance: Tolerance, concurrency: int
) -> Replay:
    async with client:
        with progress(len(labelled.images)) as on_done:
            return await run_again(labelled, images, client, tolerance, concurrency, lambda: on_done(None))


def _print(outcome: Replay) -> None:
    console = Console(markup=False, highlight=False)
    for image, sentences in outcome.differences.items():
        for sentence in sentences:
            console.print(f"{image}: {sentence}", soft_wrap=True)
    if outcome.stored != outcome.now:
        before = "unknown" if outcome.stored is None else f"{outcome.stored.name} {outcome.stored.version}"
        console.print(f"The bundle was {before}, it is {outcome.now.name} {outcome.now.version}.", soft_wrap=True)
    same = outcome.images - len(outcome.differences)
    console.print(f"{same} of {outcome.images} images are as they were stored.", soft_wrap=True)
