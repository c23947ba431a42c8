"""`weaksam label-ray`: the command line of `service.batch.ray_labelling`."""

from __future__ import annotations

import os
from functools import partial
from pathlib import Path
from typing import Annotated, Literal

import typer
from rich.console import Console

from service.settings import load_settings
from weaksam.cli.labelling.label import (
    MaxErrorRateOption,
    MinScoreOption,
    OutOption,
    TagsFromOption,
    TagsOption,
    UnknownTagsOption,
    ZoomOption,
    print_notes,
    print_resumed,
    print_summary,
    read_worklist,
)
from weaksam.cli.progress import progress
from weaksam.files.image_source import open_images
from weaksam.labelling.run import LabelJob


def label_ray(
    folder: Annotated[Path, typer.Argument(help="Folder of images, at the same path on every machine.")],
    out: OutOption,
    tags: TagsOption = None,
    tags_from: TagsFromOption = None,
    bundle: Annotated[Path | None, typer.Option(help="Folder of the bundle.", show_default="the one installed")] = None,
    device: Annotated[Literal["cpu", "cuda"], typer.Option(help="Where onnxruntime runs the graphs.")] = "cpu",
    workers: Annotated[int, typer.Option(min=1, help="Copies of the pipeline, each a process of the cluster.")] = 1,
    cpus_per_worker: Annotated[float, typer.Option(min=0.1, help="Cores that each worker may use.")] = 1.0,
    gpus_per_worker: Annotated[float, typer.Option(min=0, help="GPUs of each worker, parts of one allowed.")] = 0.0,
    batch_size: Annotated[int, typer.Option(min=1, help="Images handed to a worker at a time.")] = 16,
    min_score: MinScoreOption = None,
    unknown_tags: UnknownTagsOption = "error",
    zoom: ZoomOption = False,
    max_error_rate: MaxErrorRateOption = 0.0,
) -> None:
    """Label a folder of tagged images on a Ray cluster, without a server. The same command resumes a killed run."""
    # Ray reports its use to its makers unless told not to.
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    from service.batch.ray_labelling import RayPlan, label_with_ray

    worklist = read_worklist(open_images(str(folder)), tags, tags_from, None)
    job = LabelJob(folder, out, worklist, min_score, unknown_tags, zoom=zoom)
    console = Console(markup=False)
    print_notes(console, job.worklist)
    given = {} if bundle is None else {"bundle": bundle.resolve()}
    # Every image comes once, so there is nothing to keep; and one thread for each core that Ray has set aside.
    settings = load_settings(device=device, cache_bytes=0, intra_op_threads=max(1, int(cpus_per_worker)), **given)
    with progress(len(job.worklist.tags)) as on_done:
        plan = RayPlan(workers, cpus_per_worker, gpus_per_worker, batch_size)
        summary = label_with_ray(job, settings, plan, on_done, partial(print_resumed, console))
    print_summary(console, summary, out)
    raise typer.Exit(1 if summary.error_rate > max_error_rate else 0)
