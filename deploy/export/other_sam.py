"""The classes of one bundle with another segmenter: its settings, scaled and set for that segmenter."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from deploy.export.bundle import export_bundle
from deploy.export.sam_settings import post_for, prompts_for
from deploy.export.sam_sources import SamSource
from models.bundle import SAM_BOXES, Bundle
from models.settings import BundleConfig


def export_with_sam(
    bundle: Bundle, sam: SamSource, out_dir: Path, name: str, version: str, budget_ms: float | None = None
) -> None:
    """Write the bundle's classes, detectors and thresholds with another segmenter.

    Args:
        bundle: served so far; it stays as it is.
        sam: as `open_sam` gives it.
        out_dir: folder of the new bundle.
        name, version: of the new bundle.
        budget_ms: time for the prompts of an image; None keeps the bundle's.
    """
    prompts = prompts_for(sam, bundle.prompts, bundle.side_px)
    if budget_ms is not None:
        prompts = replace(prompts, budget_ms=budget_ms)
    config = BundleConfig(
        name=name,
        version=version,
        prompts=prompts,
        post=post_for(sam, bundle.post),
        half_size_boxes=SAM_BOXES in bundle.graphs,
        licences=dict(bundle.provenance.get("licences", {})),
    )
    export_bundle(sam, bundle, None, config, out_dir)
