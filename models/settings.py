"""How prompts, proposals and detections are made: settings that travel in the bundle beside the weights."""

from __future__ import annotations

from dataclasses import dataclass, field
from math import isfinite
from typing import Literal

from weaksam.errors import UserError
from weaksam.schemas import Effort

MaskSource = Literal["proposal", "box", "detector"]
PeakGrid = Literal["map", "input"]
# For bundles that name no sizes of their own for Triton: few for the masks of a response, many for a grid on a GPU.
TRITON_BUCKETS = (4, 16, 64)
DECODER_LEVELS = (0, 1, 2)


@dataclass(frozen=True)
class PromptSettings:
    """Settings of peaks, prompts and proposals; names and defaults after WeakSAM (arXiv 2402.14812).

    Attributes:
        peak_window_px: side of the window, in pixels of the graph's input, within which a peak is the highest.
        peak_min_value: minimum value of a peak in its min-max normalised map.
        peak_max_count: maximum of peaks of one map of a class.
        peak_grid: ``input`` enlarges maps to the pixels of the graph's input before peaks are looked for, ``map``
            looks at their own cells.
        cam_box_values: the normalised map of each tag is cut at these values, and the box of each connected part
            becomes a prompt as well; see `models.prompting.cam_boxes`.
        box_margin: by how much a box that no person drew is enlarged at each side, as a share of its own, before it
            prompts the segmenter: it often cuts what it is around, and the segmenter believes it.
        cross_peak_window_px: as ``peak_window_px``, for maps of single attention heads.
        cross_clusters_share: clusters that the peaks of these maps are merged into, as a share of their number.
        grid_sides: points per side of each grid round, coarse to fine.
        max_prompts: maximum of prompts spent on one image, those of peaks, groups of peaks and grid together.
        budget_ms: time that these may take when served, in milliseconds; 0 for any. The time of a prompt is measured
            when the bundle is loaded, so the number of prompts depends on the machine. Training ignores it.
        missed_tag_prompts: maximum of prompts for each tag that the detector missed, if the segmenter has a prompt map;
            0 for ``max_prompts`` whatever was missed. Training and ``effort=full`` ignore it.
        prompt_buckets: sizes that a run of `sam_decoder` is padded to, by backend; see `buckets_of`.
        proposal_bucket: multiple to which the number of proposals is padded for `wsod`.
        mask_levels: mask levels of the decoder that become proposals.
        grid_min_iou: minimum predicted IoU of a grid prompt's mask.
        grid_min_stability: minimum stability of a grid prompt's mask.
        cover_min_iou: a grid point inside the box of a mask with at least this predicted IoU is left out.
        cover_max_area_share: ... unless that box takes more than this share of the image.
        focus_side: points per side of the last grid, used only inside promising masks; 0 for none.
        focus_min_iou: minimum predicted IoU of a promising mask; its box may take ``cover_max_area_share`` at most.
        map_min_value: minimum value of a maximum of the prompt map that becomes a prompt.
        map_max_count: maximum number of maxima of the prompt map; 0 takes grids although the segmenter has a map.
        duplicate_iou: of two boxes with a higher IoU, one is dropped.
        max_proposals: maximum of proposals of one image.
    """

    peak_window_px: int = 17
    peak_min_value: float = 0.9
    peak_max_count: int = 25
    grid_sides: tuple[int, ...] = (8, 16)
    max_prompts: int = 256
    prompt_buckets: dict[str, tuple[int, ...]] = field(
        default_factory=lambda: {"onnxruntime": (1, 2, 3, 4, 6, 8), "triton": TRITON_BUCKETS}
    )
    proposal_bucket: int = 32
    mask_levels: tuple[int, ...] = (0, 1, 2)
    grid_min_iou: float = 0.5
    grid_min_stability: float = 0.5
    cover_min_iou: float = 0.8
    cover_max_area_share: float = 0.25
    duplicate_iou: float = 0.9
    max_proposals: int = 150
    peak_grid: PeakGrid = "map"
    cam_box_values: tuple[float, ...] = ()
    cross_peak_window_px: int = 129
    cross_clusters_share: float = 0.2
    focus_side: int = 0
    focus_min_iou: float = 0.6
    map_min_value: float = 0.1
    map_max_count: int = 48
    budget_ms: float = 0.0
    box_margin: float = 0.0
    missed_tag_prompts: int = 24

    def __post_init__(self) -> None:
        _check_counts(
            self, 1, "peak_window_px", "cross_peak_window_px", "max_prompts", "proposal_bucket", "max_proposals"
        )
        _check_counts(self, 0, "peak_max_count", "focus_side", "map_max_count", "missed_tag_prompts")
        _check_shares(self, "box_margin", "cover_max_area_share", "duplicate_iou")
        _check_finite(
            self,
            "peak_min_value",
            "grid_min_iou",
            "grid_min_stability",
            "cover_min_iou",
            "focus_min_iou",
            "map_min_value",
        )
        if not 0 <= self.budget_ms < float("inf"):
            raise UserError(f"budget_ms: is {self.budget_ms}, take milliseconds such as 2000, or 0 for no limit")
        if not all(0 < value < 1 for value in self.cam_box_values):
            raise UserError(
                f"cam_box_values: are {list(self.cam_box_values)}, take values between 0 and 1, such as 0.5"
            )
        if not 0 < self.cross_clusters_share <= 1:
            raise UserError(f"cross_clusters_share: is {self.cross_clusters_share}, take a share above 0, at most 1")
        if not all(side > 0 for side in self.grid_sides):
            raise UserError(f"grid_sides: are {list(self.grid_sides)}, take numbers of points such as [8, 16]")
        if not self.mask_levels or not set(self.mask_levels) <= set(DECODER_LEVELS):
            raise UserError(f"mask_levels: are {list(self.mask_levels)}, take some of {list(DECODER_LEVELS)}")
        for backend, sizes in self.prompt_buckets.items():
            if not sizes or min(sizes) < 1:
                raise UserError(f"prompt_buckets: has {list(sizes)} for {backend}, take sizes of runs such as [4, 16]")

    def buckets_of(self, backend: str) -> tuple[int, ...]:
        """Return the sizes of runs for a kind of backend.

        Raises:
            UserError: there are none for it.
        """
        known = {"triton": TRITON_BUCKETS, **self.prompt_buckets}
        if backend not in known:
            raise UserError(f"prompt_buckets of the bundle names {', '.join(known)}, not {backend}: add it")
        return known[backend]


@dataclass(frozen=True)
class PostSettings:
    """Settings of the step from scored proposals to detections.

    Attributes:
        quality_power: a proposal's predicted IoU to this power multiplies its class scores: the detector says which
            class, the segmenter how well the mask fits a thing (Mask Scoring R-CNN, arXiv 1903.00241).
        nms_iou: of two detections of one class with a higher IoU, the lower score goes.
        one_tag_iou: of two detections of different classes with a higher IoU, one loses most of its score, see
            `favour_one_tag`; 1 leaves both.
        nested_share: if more than this share of a box lies in a larger one of its class and model, the worse of the two
            loses most of its score, see `favour_one_box`; 1 leaves both.
        mask_source: ``proposal``, the mask that the box came from; ``box``, a box prompt on the final box; or
            ``detector``, the mask of the detector's own head. A detector's box without such a mask gets a box prompt,
            a proposal's keeps the mask that it came from.
        box_mask_share: how far a detection's box moves towards its mask's tight box, 0 not at all and 1 the whole way:
            where a thing ends the segmenter sees better than the detector. A detection without mask keeps its box.
        sent_tag_min_score: if nothing of a tag that a user sent reaches its threshold, the detector's best box of it is
            returned if it has at least this score, unless the classifier rules the tag out. 1 turns that off.
        colour_weight: how much the colours inside and around a mask of the segmenter move its outline, see
            `models.masks.colours`; 0 not at all. The default was chosen for the compact SAM.
        effort: of requests that name none: ``fast``, the detector first and proposals for the tags that it missed; or
            ``full``, both for every tag.
    """

    quality_power: float = 3.0
    nms_iou: float = 0.3
    one_tag_iou: float = 1.0
    nested_share: float = 0.9
    mask_source: MaskSource = "proposal"
    box_mask_share: float = 0.0
    sent_tag_min_score: float = 0.1
    colour_weight: float = 0.5
    effort: Effort = "fast"

    def __post_init__(self) -> None:
        _check_shares(self, "nms_iou", "one_tag_iou", "nested_share", "box_mask_share", "sent_tag_min_score")
        if not 0 <= self.quality_power < float("inf"):
            raise UserError(f"quality_power: is {self.quality_power}, take a power from 0, such as 3")
        if not 0 <= self.colour_weight < float("inf"):
            raise UserError(f"colour_weight: is {self.colour_weight}, take a weight from 0, such as 0.5")


@dataclass(frozen=True)
class BundleConfig:
    """What a bundle holds beside its graphs.

    Attributes:
        name, version: stated in every response.
        prompts, post: see there.
        map_scales: factors of the image's size over which the maps are averaged that training's proposals start
            from. Only a bundle without detector has them, as the graph `cam_averaged`; one scale is served.
        map_flip: whether these maps are averaged over the mirrored image as well.
        half_size_boxes: whether a compact SAM's proposals are boxed from logits at half the side, by a graph of their
            own, `sam_boxes`: a fifth less time for boxes that are a little less exact.
        licences: of the bundle and of what it was made from, by name; stated in its provenance.
    """

    name: str
    version: str
    prompts: PromptSettings
    post: PostSettings
    map_scales: tuple[float, ...] = (1.0,)
    map_flip: bool = False
    half_size_boxes: bool = False
    licences: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not self.map_scales or min(self.map_scales) <= 0:
            raise UserError(f"map_scales: is {list(self.map_scales)}, take factors above 0, such as [1.0, 0.8, 1.2]")

    @property
    def averages_maps(self) -> bool:
        """Whether training's proposals start from other maps than the served ones."""
        return self.map_scales != (1.0,) or self.map_flip


def _check_counts(settings: object, least: int, *names: str) -> None:
    for name in names:
        if getattr(settings, name) < least:
            raise UserError(f"{name}: is {getattr(settings, name)}, take a whole number from {least}")


def _check_shares(settings: object, *names: str) -> None:
    for name in names:
        if not 0 <= getattr(settings, name) <= 1:
            raise UserError(f"{name}: is {getattr(settings, name)}, take a share from 0 to 1, such as 0.5")


def _check_finite(settings: object, *names: str) -> None:
    """Any number does: one that no value reaches, or that all do, turns a threshold off."""
    for name in names:
        if not isfinite(getattr(settings, name)):
            raise UserError(f"{name}: is {getattr(settings, name)}, take a number such as 0.5")
