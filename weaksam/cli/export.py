"""``weaksam export``: finished runs to a bundle."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from deploy.export.bundle import export_bundle, open_classes
from deploy.export.sam_sources import open_sam
from models.bundle import DETECTOR, WSOD
from models.config import load_config
from models.run_folder import open_run
from models.settings import BundleConfig
from weaksam.files.full_disk import writing_into


def export_command(
    cam: Annotated[Path, typer.Option(help="A finished run, or a bundle, whose detectors come with it.")],
    config: Annotated[Path, typer.Option(help="TOML file: name, version, prompt and post-processing settings.")],
    out: Annotated[Path, typer.Option(help="Folder of the bundle.")],
    sam: Annotated[
        Path | None,
        typer.Option(
            help="A finished run, a bundle, a checkpoint or its published name; by default the default bundle."
        ),
    ] = None,
    wsod: Annotated[Path | None, typer.Option(help="Folder of the finished run; without it, proposals only.")] = None,
    detector: Annotated[
        Path | None, typer.Option(help="Folder of a finished `weaksam train detector`, which then runs first.")
    ] = None,
    override: Annotated[list[str] | None, typer.Option("--set", help="key=value that wins over the config.")] = None,
) -> None:
    """Export finished runs as a bundle of ONNX graphs, each compared with torch."""
    wsod_run = None if wsod is None else open_run(wsod, WSOD)
    detector_run = None if detector is None else open_run(detector, DETECTOR)
    settings = load_config(BundleConfig, config, override or ())
    with writing_into(out):
        export_bundle(open_sam(sam), open_classes(cam), wsod_run, settings, out, detector_run)
    typer.echo(f"wrote {out}")
