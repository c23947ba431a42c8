"""`weaksam convert`: the command line of `weaksam.formats.convert`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from weaksam.files.image_source import open_path
from weaksam.formats.convert import FormatName
from weaksam.formats.convert import convert as write_format
from weaksam.mask_schemas import MIN_FIDELITY

MinFidelityOption = Annotated[
    float, typer.Option(min=0, max=1, help="Minimum IoU of polygons with their mask; 1 loses no pixel.")
]


def convert(
    folder: Annotated[
        str, typer.Argument(help="Folder that `weaksam label` or `weaksam review` wrote, or its address.")
    ],
    to: Annotated[FormatName, typer.Option(help="The format.")],
    out: Annotated[Path, typer.Option(help="New folder to write.")],
    min_fidelity: MinFidelityOption = MIN_FIDELITY,
    image_url: Annotated[
        str, typer.Option(help="labelstudio: what stands before each image's path in its address.")
    ] = "",
    reviewed: Annotated[
        Path | None,
        typer.Option(help="Folder that `weaksam review` wrote: corrections win, rejected images are left out."),
    ] = None,
) -> None:
    """Write a labelling run in the format of another tool, with what people corrected, if they reviewed it."""
    summary = write_format(open_path(folder), to, out, min_fidelity, image_url, reviewed)
    print_conversion(Console(markup=False, highlight=False), summary, out)


def print_conversion(console: Console, summary: dict[str, Any], out: Path) -> None:
    """Print what was written, and how well polygons fit."""
    sentence = f"{summary['objects']} objects of {summary['images']} images in {out}"
    if "fidelity_iou" in summary:
        sentence += f"; polygons have IoU {summary['fidelity_iou']['lowest']:.3f} with their masks at least"
    console.print(f"{sentence}.", soft_wrap=True)
