"""The segmenter of a run: where it lies, and how bundles are made with it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from deploy.export.runs import export_runs
from deploy.export.sam_sources import open_sam, sam_path
from models.settings import BundleConfig
from training.pipeline.config import PipelineConfig
from training.runs.inputs import segmenter_digest
from training.runs.ranks import is_first_rank, wait_for_ranks
from training.runs.stage import Done


@dataclass(frozen=True)
class Segmenter:
    """A segmenter on this machine.

    Attributes:
        path: as `deploy.export.sam_sources.open_sam` takes it.
        side_px, fit_prompts: settings ``sam_side_px`` and ``sam_prompts`` of the run.
        digest: of what decides its graphs and settings.
    """

    path: Path
    side_px: int | None
    fit_prompts: bool
    digest: str

    def export(self, parts: Mapping[str, Done], config: BundleConfig, folder: Path) -> None:
        """Write a bundle of finished stages and this segmenter."""
        runs = {part: done.folder for part, done in parts.items()}
        export_runs(runs, self.path, config, folder, sam_side_px=self.side_px, fit_prompts=self.fit_prompts)


def find_segmenter(config: PipelineConfig) -> Segmenter:
    """Return the segmenter of a run; the first rank downloads published weights that are given by name.

    Raises:
        UserError: there is no such segmenter, its weights could not be had, or are of no network that is known.
    """
    if is_first_rank():
        open_sam(config.sam, config.sam_side_px)
    wait_for_ranks()
    path = sam_path(config.sam)
    digest, fitted = segmenter_digest(path), config.sam_prompts == "fitted"
    if config.sam_side_px is not None or not fitted:
        digest += f" {config.sam_side_px} {config.sam_prompts}"
    return Segmenter(path, config.sam_side_px, fitted, digest)
