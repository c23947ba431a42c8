"""`weaksam data`: check data sets, draw scenes, make mosaics and the repository's sample images."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.progress import track
from rich.table import Table

from weaksam.cli.evaluation.options import SplitOption
from weaksam.errors import UserError

if TYPE_CHECKING:
    from training.data.tagged import TaggedDataset

data_app = typer.Typer(help="Check data sets, draw scenes, make mosaics.", no_args_is_help=True, add_completion=False)

_progress_console = Console(stderr=True, markup=False)
_OutOption = Annotated[Path, typer.Option("--out", help="New folder to write.")]
_SeedOption = Annotated[int, typer.Option("--seed", min=0, help="The same seed draws the same images.")]


@data_app.command()
def scenes(
    out: _OutOption,
    count: Annotated[int, typer.Option("--count", min=1, help="Images to draw.")] = 500,
    seed: _SeedOption = 0,
    size: Annotated[str, typer.Option("--size", help="HEIGHTxWIDTH in pixels.")] = "480x640",
) -> None:
    """Draw images of tools and debris with exact masks, as a data set in VOC and COCO layout."""
    from training.scenes.generate import generate_scenes

    _write_all(generate_scenes(out, count, seed, _parse_size(size)), count, "scenes", out)


@data_app.command()
def mosaics(
    source: Annotated[Path, typer.Option("--source", help="Data set to take photographs from.")],
    out: _OutOption,
    split: SplitOption = "test",
    count: Annotated[int, typer.Option("--count", min=1, help="Mosaics to write.")] = 180,
    seed: _SeedOption = 0,
) -> None:
    """Join photographs of different kinds to 2x2 mosaics; half of them repeat a kind."""
    from training.data.mosaics import make_mosaics
    from training.data.open_dataset import open_dataset

    dataset = open_dataset(source, split)
    _write_all(make_mosaics(dataset, split, out, count, seed), count, "mosaics", out)


@data_app.command()
def check(
    folder: Annotated[Path, typer.Argument(help="Data set: tagged folder, COCO, YOLO, VOC, CVAT or Label Studio.")],
    split: SplitOption = "train",
) -> None:
    """Read a data set, decode every image, count its classes and list what is wrong; exit status 1 if anything is."""
    from training.data.check.copies import copy_warnings
    from training.data.check.decoding import undecodable
    from training.data.check.summary import warnings
    from training.data.open_dataset import open_dataset

    dataset = open_dataset(folder, split)
    images = track(dataset.images, "images", console=_progress_console)
    problems = [*dataset.problems, *undecodable(images, folder)]
    console = Console(markup=False)
    _print_summary(console, dataset)
    cautions = [*warnings(dataset), *copy_warnings(folder, split, dataset.images)]
    for kind, sentences in (("Note", dataset.notes), ("Warning", cautions)):
        for sentence in sentences:
            console.print(f"{kind}: {sentence}.", soft_wrap=True)
    if not problems:
        return
    table = Table("file", "field", "problem", title=f"Problems: {len(problems)}")
    for problem in problems:
        table.add_row(problem.file, problem.field, problem.message)
    console.print(table)
    raise typer.Exit(1)


def _print_summary(console: Console, dataset: TaggedDataset) -> None:
    from training.data.check.summary import count_classes

    objects = sum(len(image.objects) for image in dataset.images)
    negatives = sum(not image.tags for image in dataset.images)
    console.print(
        f"{dataset.name}: {len(dataset.images)} images, {len(dataset.labels)} labels, {objects} objects, "
        f"{negatives} images of none of the classes",
        soft_wrap=True,
    )
    table = Table("label", "images", "objects with boxes")
    for count in count_classes(dataset):
        table.add_row(count.label, str(count.images), str(count.objects))
    console.print(table)


@data_app.command()
def samples(out: Annotated[Path, typer.Option("--out", help="Folder to write.")] = Path("samples")) -> None:
    """Draw the repository's sample images anew; the same files come out each time."""
    from training.scenes.sample_images import write_sample_images

    for path in write_sample_images(out):
        typer.echo(path)


def _write_all(ids: Iterable[str], count: int, what: str, out: Path) -> None:
    for _ in track(ids, what, count, console=_progress_console):
        pass
    typer.echo(f"{count} {what} in {out}")


def _parse_size(text: str) -> tuple[int, int]:
    from models.image import DEFAULT_MAX_PIXELS

    try:
        height, width = (int(side) for side in text.lower().split("x"))
    except ValueError as error:
        raise UserError(f"--size must be HEIGHTxWIDTH such as 480x640, got {text!r}") from error
    if min(height, width) < 64:
        raise UserError(f"--size must be at least 64x64, got {text!r}")
    if height * width > DEFAULT_MAX_PIXELS:
        raise UserError(f"--size must be at most {DEFAULT_MAX_PIXELS} pixels, as images may have, got {text!r}")
    return height, width
