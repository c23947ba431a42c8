"""``weaksam triton``: a bundle to a Triton model repository. Needs nothing beyond the base install."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from deploy.triton.config import Device, Platform, TritonOptions
from deploy.triton.engines import SCRIPT_NAME
from deploy.triton.repository import write_repository
from models.bundle import DEFAULT_BUNDLE
from models.bundle_files.manifest import load_bundle
from weaksam.errors import UserError

DEFAULTS = TritonOptions("onnxruntime", "gpu")


def triton_command(
    out: Annotated[Path, typer.Option(help="Model repository, new or with earlier versions of the bundle.")],
    platform: Annotated[Platform, typer.Option(help="What executes the graphs in Triton.")],
    bundle: Annotated[
        Path, typer.Argument(help="Folder of the bundle.", show_default="the one installed")
    ] = DEFAULT_BUNDLE,
    device: Annotated[
        Device | None,
        typer.Option(
            help="Device that Triton runs the graphs on.", show_default="cpu for platform python, gpu for the others"
        ),
    ] = None,
    instances: Annotated[int, typer.Option(min=1, help="Copies of each graph on a device.")] = DEFAULTS.instances,
    max_batch: Annotated[int, typer.Option(min=1, help="Maximum of images in one run.")] = DEFAULTS.max_batch,
    queue_delay_us: Annotated[
        int, typer.Option(min=0, help="Longest wait for others to join a batch, in microseconds.")
    ] = DEFAULTS.queue_delay_us,
    max_queue: Annotated[
        int, typer.Option(min=1, help="Requests of one graph that may wait in Triton.")
    ] = DEFAULTS.max_queue,
    threads: Annotated[
        int, typer.Option(min=0, help="Threads of onnxruntime within one operator, on a CPU; 0 is one per core.")
    ] = DEFAULTS.threads,
    keep_versions: Annotated[
        int, typer.Option(min=1, help="Versions served at the same time, the latest ones.")
    ] = DEFAULTS.keep_versions,
) -> None:
    """Write a bundle as a Triton model repository, or as a new version into one."""
    device = device or ("cpu" if platform == "python" else "gpu")
    if device == "cpu" and platform in {"tensorrt", "ort-trt"}:
        raise UserError(f"--platform {platform} runs on GPUs only: leave --device cpu out, or take onnxruntime")
    options = TritonOptions(
        platform=platform,
        device=device,
        instances=instances,
        max_batch=max_batch,
        queue_delay_us=queue_delay_us,
        max_queue=max_queue,
        threads=threads,
        keep_versions=keep_versions,
    )
    loaded = load_bundle(bundle)
    version = write_repository(loaded, out, options)
    typer.echo(f"wrote {loaded.name} {loaded.version} to {out} as version {version}: {', '.join(loaded.graphs)}")
    if platform == "tensorrt":
        typer.echo(f"its engines are not built yet: run {out / SCRIPT_NAME} in NVIDIA's container, on the serving GPU")
