"""`weaksam label`: the command line of `weaksam.labelling.run`."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Literal

import typer
from rich.console import Console

from models.labels import Label, LabelSet
from weaksam.cli.labelling.api_key import ApiKeyFileOption
from weaksam.cli.labelling.convert import MinFidelityOption, print_conversion
from weaksam.cli.progress import progress
from weaksam.client import AsyncClient, ClientError
from weaksam.errors import UserError
from weaksam.files.api_key import read_api_key
from weaksam.files.image_files import JOURNAL
from weaksam.files.image_source import ImageSource, open_images
from weaksam.formats.convert import FormatName, convert_inside, parse_format
from weaksam.labelling.journal import alone_in
from weaksam.labelling.merge import merge_shards
from weaksam.labelling.outputs import CONTACT_SHEET, FAILURES, FILES
from weaksam.labelling.run import LabelJob, LabelSummary, label_folder
from weaksam.labelling.shard import Shard, parse_shard, shard_worklist
from weaksam.labelling.worklist import TagPlace, Worklist, worklist_from_names, worklist_from_table
from weaksam.mask_schemas import MIN_FIDELITY, MaskFormat
from weaksam.retry import PATIENT
from weaksam.schemas import LabelsResponse

INTERRUPTED_STATUS = 130
MAX_UNKNOWN_TAGS = 5  # that are printed
FORMATS_OF_MASKS: dict[MaskFormat, tuple[FormatName, ...]] = {
    "rle": (),
    "polygon": ("coco-polygons",),
    "png": ("png",),
    "none": (),
}

# `weaksam label-ray` has these too.
TagsOption = Annotated[
    Path | None,
    typer.Option(help="CSV with the columns file (path below the folder) and tags, or a JSON export of Label Studio."),
]
TagsFromOption = Annotated[
    TagPlace | None,
    typer.Option(help="Tags from the first folder's name, or from a .txt or .json file beside each image."),
]
MinScoreOption = Annotated[
    float | None,
    typer.Option(min=0, max=1, help="Minimum score of a detection; default: that of each class in the bundle."),
]
ZoomOption = Annotated[
    bool, typer.Option("--zoom", help="Look at small objects again, enlarged: better masks, in more time.")
]
UnknownTagsOption = Annotated[
    Literal["error", "skip"], typer.Option(help="A tag that is no label fails its image, or is left out.")
]
MaxErrorRateOption = Annotated[
    float, typer.Option(min=0, max=1, help="Share of failed images above which the exit status is 1.")
]
OutOption = Annotated[Path, typer.Option(help="Folder for the journal and the results; the same one resumes a run.")]


def label(
    folder: Annotated[
        str,
        typer.Argument(
            help="Folder of images, with all folders below it: a path, or an address such as s3://bucket/photos. "
            "Or a list of images, one a line, in a .txt file.",
        ),
    ],
    out: OutOption,
    tags: TagsOption = None,
    tags_from: TagsFromOption = None,
    shard: Annotated[
        str | None,
        typer.Option(help="Only part i of n, counted from 0: i/n. Each part has an --out of its own; see label-merge."),
    ] = None,
    server: Annotated[str, typer.Option(help="Address of the service.")] = "http://127.0.0.1:8000",
    concurrency: Annotated[
        int, typer.Option(min=1, help="Maximum requests at once; fewer while the server is busy.")
    ] = 4,
    timeout_s: Annotated[float, typer.Option(min=0.001, help="Longest wait for one result, in seconds.")] = 60.0,
    min_score: MinScoreOption = None,
    unknown_tags: UnknownTagsOption = "error",
    api_key_file: ApiKeyFileOption = None,
    ca_file: Annotated[
        Path | None, typer.Option(help="PEM file of the authority that signed the server's https certificate.")
    ] = None,
    max_side: Annotated[
        int | None,
        typer.Option(min=32, help="Shrink images with a longer side to this many pixels before sending them."),
    ] = None,
    masks: Annotated[
        MaskFormat,
        typer.Option(help="rle: run lengths. polygon, png: these too, in a folder inside --out. none: boxes alone."),
    ] = "rle",
    zoom: ZoomOption = False,
    formats: Annotated[
        list[str] | None,
        typer.Option(
            "--format",
            metavar="FORMAT",
            help="Another format of `weaksam convert`, in the folder of its name inside --out; may be repeated.",
        ),
    ] = None,
    min_fidelity: MinFidelityOption = MIN_FIDELITY,
    max_error_rate: MaxErrorRateOption = 0.0,
) -> None:
    """Label a folder of tagged images through a server. The same command resumes a killed run."""
    if zoom and masks == "none":
        raise UserError("--zoom is for masks, and --masks none draws none: leave one of them out")
    part = None if shard is None else parse_shard(shard)
    further = (*FORMATS_OF_MASKS[masks], *map(parse_format, formats or ()))
    source = open_images(folder)
    worklist = read_worklist(source, tags, tags_from, part)
    shown = None if "@" in server else server  # a password is not written into a page
    job = LabelJob(source.folder, out, worklist, min_score, unknown_tags, part, max_side, masks != "none", zoom, shown)
    client = AsyncClient(
        server,
        timeout_s=timeout_s,
        max_concurrent=concurrency,
        retry=PATIENT,
        api_key=read_api_key(api_key_file),
        ca_file=ca_file,
    )
    console = Console(markup=False)
    print_notes(console, worklist)
    summary = _labelled(job, client, concurrency, console)
    print_summary(console, summary, out)
    if further:
        _write_formats(console, further, out, min_fidelity)
    raise typer.Exit(1 if summary.error_rate > max_error_rate else 0)


def _write_formats(console: Console, formats: Iterable[FormatName], out: Path, min_fidelity: float) -> None:
    # The same command, given again meanwhile, would take what is being written for what a kill has left.
    with alone_in(out / JOURNAL):
        for to in dict.fromkeys(formats):
            print_conversion(console, convert_inside(out, to, min_fidelity), out / to)


def read_worklist(source: ImageSource, tags: Path | None, tags_from: TagPlace | None, shard: Shard | None) -> Worklist:
    """Return what the options name; raise UserError if they name nothing or two things."""
    if tags is not None and tags_from is None:
        worklist = worklist_from_table(source.folder, tags, source.files)
    elif tags is None and tags_from is not None:
        worklist = worklist_from_names(source.folder, tags_from, source.files)
    else:
        raise UserError("give either --tags FILE or --tags-from folder|sidecar")
    return worklist if shard is None else shard_worklist(worklist, shard)


def _labelled(job: LabelJob, client: AsyncClient, concurrency: int, console: Console) -> LabelSummary:
    try:
        return asyncio.run(_run(job, client, concurrency, console))
    except ClientError as error:
        raise UserError(str(error)) from error
    except KeyboardInterrupt:
        console.print("Stopped. The same command goes on from here.")
        raise typer.Exit(INTERRUPTED_STATUS) from None


async def _run(job: LabelJob, client: AsyncClient, concurrency: int, console: Console) -> LabelSummary:
    async with client:
        with progress(len(job.worklist.tags)) as on_done:
            return await label_folder(
                job,
                client,
                workers=concurrency,
                on_done=on_done,
                on_labels=lambda labels: _print_unknown_tags(console, job, labels),
                on_resume=lambda done, left: print_resumed(console, done, left),
            )


def _print_unknown_tags(console: Console, job: LabelJob, served: LabelsResponse) -> None:
    """Print the tags that are no labels, before hours pass until their images are listed as failed."""
    labels = LabelSet(tuple(Label(row.name, tuple(row.aliases)) for row in served.labels))
    images_of = Counter(tag for tags in job.worklist.tags.values() for tag in tags).most_common()
    unknown = [(tag, images) for tag, images in images_of if labels.index(tag) is None]
    for tag, images in unknown[:MAX_UNKNOWN_TAGS]:
        nearest = ", ".join(labels.nearest(tag))
        console.print(f"Note: {tag!r} is no label, images with it: {images}, nearest: {nearest}.", soft_wrap=True)
    if unknown:
        fate = "Images with such tags fail" if job.unknown_tags == "error" else "Such tags are left out"
        console.print(f"Tags that are no label: {len(unknown)}. {fate}. GET /labels lists the labels.", soft_wrap=True)


def print_resumed(console: Console, done: int, left: int) -> None:
    """Print at the start how far earlier runs have come."""
    console.print(f"{done} images labelled in earlier runs, {left} left.", soft_wrap=True)


def print_notes(console: Console, worklist: Worklist) -> None:
    """Print what was put right in the tags."""
    for note in worklist.notes:
        console.print(f"Note: {note}.", soft_wrap=True)


def print_summary(console: Console, summary: LabelSummary, out: Path) -> None:
    """Print the numbers of a run and where its files are."""
    failed = len(summary.failures)
    console.print(
        f"{summary.labelled} images labelled ({summary.resumed} in earlier runs), "
        f"{summary.detections} detections, {failed} failed.",
        soft_wrap=True,
    )
    if failed:
        codes = Counter(failure.code for failure in summary.failures).most_common()
        counts = ", ".join(f"{count} {code}" for code, count in codes)
        console.print(f"Failed: {counts}. {FAILURES} says why for each image.", soft_wrap=True)
    names = [name for name in FILES if failed or name != FAILURES]
    console.print(f"In {out}: {', '.join(names)}", soft_wrap=True)
    console.print(f"Look at {out / CONTACT_SHEET} first: it says what to do next.", soft_wrap=True)


def label_merge(
    shards: Annotated[list[Path], typer.Argument(help="The --out folders of all shards of one folder.")],
    out: Annotated[Path, typer.Option(help="Folder for the merged files.")],
    photos: Annotated[
        Path | None, typer.Option(help="Folder that was labelled, for the thumbnails of the contact sheet.")
    ] = None,
) -> None:
    """Put finished shards together: the files of one run over the whole folder, byte for byte."""
    summary = merge_shards(shards, out, photos)
    Console(markup=False).print(
        f"{summary.labelled} images labelled, {summary.detections} detections, {summary.failed} failed. In {out}.",
        soft_wrap=True,
    )
