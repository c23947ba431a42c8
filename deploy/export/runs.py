"""Folders of finished runs to a bundle."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from deploy.export.bundle import export_bundle
from deploy.export.sam_settings import default_side_px, post_for, prompts_for, room_for_grid
from deploy.export.sam_sources import open_sam
from models.bundle import CAM, DETECTOR, WSOD
from models.nets.published_sam.open_published import PublishedSam
from models.run_folder import open_run
from models.settings import BundleConfig


def export_runs(
    runs: Mapping[str, Path],
    sam: Path | None,
    config: BundleConfig,
    out_dir: Path,
    *,
    sam_side_px: int | None = None,
    fit_prompts: bool = False,
) -> None:
    """Write a bundle.

    Args:
        runs: folders of finished trainings by name: `CAM`, and `WSOD` and `DETECTOR` if there are such runs.
        sam: as `open_sam` takes it.
        config: name, prompts and post-processing.
        out_dir: folder of the bundle.
        sam_side_px: as ``side_px`` of `open_sam`.
        fit_prompts: whether settings, written for the default bundle's segmenter, are set for a published one, and
            leave room for a grid where the segmenter has no prompt map.

    Raises:
        RunError: a run is not finished.
        ExportError: runs that do not fit together.
    """
    opened = {name: open_run(folder, name) for name, folder in runs.items()}
    segmenter = open_sam(sam, sam_side_px)
    if fit_prompts and isinstance(segmenter, PublishedSam):
        prompts = prompts_for(segmenter, config.prompts, default_side_px())
        config = replace(config, prompts=prompts, post=post_for(segmenter, config.post))
    elif fit_prompts:
        config = replace(config, prompts=room_for_grid(segmenter, config.prompts))
    export_bundle(segmenter, opened[CAM], opened.get(WSOD), config, out_dir, opened.get(DETECTOR))
