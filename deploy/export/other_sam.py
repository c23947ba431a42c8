"""The classes of one bundle with another segmenter: its settings, scaled and set for that segmenter."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from deploy.export.bundle import OfficialCheckpoint, SamSource, export_bundle
from models.bundle import Bundle
from models.settings import BundleConfig, PromptSettings

# Minimum predicted IoU and stability of a grid prompt's mask, by network. Defaults of the published code:
# https://github.com/facebookresearch/segment-anything/blob/dca509fe/segment_anything/automatic_mask_generator.py#L37
# and facebookresearch/sam2, sam2/automatic_mask_generator.py, which EdgeTAM's repository has too.
SAM_QUALITY, SAM_2_QUALITY = (0.88, 0.95), (0.8, 0.95)
QUALITY = {"edgetam": SAM_2_QUALITY}  # the others are Segment Anything's own
# Ours: the published grids have 32 points per side, which takes a CPU minutes. Coarse to fine, points inside good masks
# are spared; the compact SAM's closer look at small things is not needed.
GRID_SIDES = (8, 16)


def export_with_sam(bundle: Bundle, sam: SamSource, out_dir: Path, name: str, version: str) -> None:
    """Write the bundle's classes, detectors and thresholds with another segmenter.

    Args:
        bundle: served so far; it stays as it is.
        sam: as `open_sam` gives it.
        out_dir: folder of the new bundle.
        name, version: of the new bundle.
    """
    config = BundleConfig(
        name=name,
        version=version,
        prompts=prompts_with_sam(bundle, sam),
        post=bundle.post,
        licences=dict(bundle.provenance.get("licences", {})),
    )
    export_bundle(sam, bundle, None, config, out_dir)


def prompts_with_sam(bundle: Bundle, sam: SamSource) -> PromptSettings:
    """Return the bundle's prompt settings for another segmenter: pixels scaled to its side, a grid as suits it."""
    factor = _side_px(sam) / bundle.side_px
    prompts = replace(
        bundle.prompts,
        peak_window_px=round(bundle.prompts.peak_window_px * factor),
        cross_peak_window_px=round(bundle.prompts.cross_peak_window_px * factor),
    )
    if not isinstance(sam, OfficialCheckpoint):
        return prompts
    min_iou, min_stability = QUALITY.get(sam.kind, SAM_QUALITY)
    return replace(
        prompts,
        grid_sides=GRID_SIDES,
        grid_min_iou=min_iou,
        grid_min_stability=min_stability,
        cover_min_iou=min_iou,
        focus_side=0,
    )


def _side_px(sam: SamSource) -> int:
    if isinstance(sam, OfficialCheckpoint):
        return sam.net.side_px
    return sam.side_px if isinstance(sam, Bundle) else int(sam.config["side_px"])
