"""Folders of finished runs to a bundle."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from deploy.export.bundle import export_bundle
from deploy.export.sam_sources import open_sam
from models.run_folder import open_run
from models.settings import BundleConfig


def export_runs(runs: Mapping[str, Path], sam: Path | None, config: BundleConfig, out_dir: Path) -> None:
    """Write a bundle.

    Args:
        runs: folders of finished trainings: ``cam``, and ``wsod`` and ``detector`` if there are such runs.
        sam: as `open_sam` takes it.
        config: name, prompts and post-processing.
        out_dir: folder of the bundle.

    Raises:
        RunError: a run is not finished.
        ExportError: runs that do not fit together.
    """
    opened = {name: open_run(folder, name) for name, folder in runs.items()}
    export_bundle(open_sam(sam), opened["cam"], opened.get("wsod"), config, out_dir, opened.get("detector"))
