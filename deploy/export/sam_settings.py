"""Settings that a bundle gets for a segmenter: one table of what suits each published family, with its sources."""

from __future__ import annotations

from dataclasses import dataclass, replace

from deploy.export.sam_sources import SamSource, has_prompt_map
from models.bundle import DEFAULT_BUNDLE, PROPOSAL_GRAPHS, Bundle
from models.bundle_files.manifest import load_bundle
from models.nets.published_sam.open_published import MOBILE_SAM, PublishedSam
from models.nets.published_sam.sam2 import TRUNKS
from models.settings import PostSettings, PromptSettings


@dataclass(frozen=True)
class Family:
    """What holds for all checkpoints of a family.

    Attributes:
        title: in licences.
        min_iou, min_stability: of a grid prompt's mask.
        grid_sides: points per side of each grid, coarse to fine.
    """

    title: str
    min_iou: float
    min_stability: float
    grid_sides: tuple[int, ...]


# A grid needs more prompts than the maxima of a prompt map, which the shipped compact SAM has.
GRID_PROMPTS = 80
# Thresholds are the defaults of each family's own SamAutomaticMaskGenerator, in automatic_mask_generator.py of
# facebookresearch/segment-anything@dca509fe, facebookresearch/sam2@2b90b9f5, facebookresearch/EdgeTAM@9cc44bfe and
# ChaoningZhang/MobileSAM@34bbbfdf. The published grids have 32 points per side, which takes a CPU minutes: coarse to
# fine, points inside good masks are spared. Networks for CPUs get fewer.
VIT = Family("Segment Anything", 0.88, 0.95, (8, 16))
FAMILIES = {
    "edgetam": Family("EdgeTAM", 0.8, 0.95, (4, 8)),
    MOBILE_SAM: Family("MobileSAM", 0.88, 0.95, (4, 8)),
    **{kind: Family("SAM 2", 0.8, 0.95, (8, 16)) for kind in TRUNKS if kind != "edgetam"},
}


def family_of(kind: str) -> Family:
    """Return the family of a kind of network, as `PublishedSam` has it; all others are Segment Anything's ViTs."""
    return FAMILIES.get(kind, VIT)


def licence_of(kind: str) -> dict[str, str]:
    """Return the entry for a bundle's licences."""
    title = family_of(kind).title
    return {title.lower().replace(" ", "_"): f"{title} checkpoint, Apache-2.0"}


def prompts_for(sam: SamSource, prompts: PromptSettings, side_px: int) -> PromptSettings:
    """Return prompt settings for another segmenter: pixels scaled to its side, grids and thresholds as suit it.

    Args:
        sam: the segmenter; one that was trained here keeps grids and thresholds, see `room_for_grid`.
        prompts: settings for a segmenter of side ``side_px``.
        side_px: see above.
    """
    factor = side_of(sam) / side_px
    scaled = replace(
        room_for_grid(sam, prompts),
        peak_window_px=round(prompts.peak_window_px * factor),
        cross_peak_window_px=round(prompts.cross_peak_window_px * factor),
    )
    if not isinstance(sam, PublishedSam):
        return scaled
    family = family_of(sam.kind)
    return replace(
        scaled,
        grid_sides=family.grid_sides,
        grid_min_iou=family.min_iou,
        grid_min_stability=family.min_stability,
        cover_min_iou=family.min_iou,
        focus_side=0,  # the compact SAM's closer look at small things
        box_margin=0.0,  # chosen for the compact SAM, which takes a box at its word
    )


def post_for(sam: SamSource, post: PostSettings) -> PostSettings:
    """Return settings of post-processing for another segmenter: published ones keep the outlines that they draw."""
    return replace(post, colour_weight=0.0) if isinstance(sam, PublishedSam) else post


def room_for_grid(sam: SamSource, prompts: PromptSettings) -> PromptSettings:
    """Return prompt settings that leave room for a grid, which replaces the prompt map if the segmenter has none."""
    if has_prompt_map(sam):
        return prompts
    return replace(prompts, max_prompts=max(GRID_PROMPTS, prompts.max_prompts))


def default_side_px() -> int:
    """Return the side of the default bundle's segmenter, whose pixels the shipped configs are in."""
    return load_bundle(DEFAULT_BUNDLE, PROPOSAL_GRAPHS).side_px


def side_of(sam: SamSource) -> int:
    """Return the side of a segmenter's input in pixels."""
    if isinstance(sam, PublishedSam):
        return sam.net.side_px
    return sam.side_px if isinstance(sam, Bundle) else int(sam.config["side_px"])
