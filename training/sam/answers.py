"""A compact SAM's answers about one image, with and without zoom, as the service gives them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch

from models.bundle import MANIFEST, SAM_GRAPHS
from models.bundle_files.manifest import load_bundle
from models.letterbox import Letterbox, Part
from models.masks.levels import Level, Look, best_level, levels_of
from models.masks.zoom import better_levels, zoom_part
from models.nets.backbone import MEAN_RGB
from models.nets.compact_sam import CompactSam
from models.prompting.prompts import PromptBatch, box_prompts, point_prompts
from models.settings import PostSettings
from training.sam.trained import load_segmenter
from weaksam.arrays import Float32

PromptOf = Callable[[Letterbox], PromptBatch]


@dataclass(frozen=True)
class AskedSam:
    """A compact SAM, and how it is asked.

    Attributes:
        net: answers.
        zoom: look at small objects again, enlarged, see `models.masks.zoom`.
        colour_weight: see `models.settings.PostSettings`.
    """

    net: CompactSam
    zoom: bool
    colour_weight: float


def open_asked_sam(source: Path, *, zoom: bool) -> AskedSam:
    """Return the compact SAM of a training's folder or of a bundle; raises as `load_segmenter` does."""
    net = load_segmenter(source)
    is_bundle = (source / MANIFEST).is_file()
    post = load_bundle(source, SAM_GRAPHS).post if is_bundle else PostSettings()
    return AskedSam(net, zoom, post.colour_weight)


class AskedImage:
    """One image, of which every part is encoded once.

    Args:
        sam: answers.
        image_hwc_u8: upright RGB.
    """

    def __init__(self, sam: AskedSam, image_hwc_u8: npt.NDArray[np.uint8]) -> None:
        self._sam = sam
        self._image_hwc_u8 = image_hwc_u8
        self._image_hw = (image_hwc_u8.shape[0], image_hwc_u8.shape[1])
        self._looks: dict[Part | None, tuple[Look, torch.Tensor]] = {}

    def from_box(self, box_xyxy_px: Float32) -> list[Level]:
        """Return the masks that a box [4] may mean."""

        def prompt_of(letterbox: Letterbox) -> PromptBatch:
            return box_prompts(letterbox.boxes_to_input(box_xyxy_px[None]))

        first_look = self._ask(prompt_of, None)
        return self._look_again(first_look, prompt_of, box_xyxy_px)

    def from_point(self, point_xy_px: Float32) -> list[Level]:
        """Return the masks that a point [2] on an object may mean."""

        def prompt_of(letterbox: Letterbox) -> PromptBatch:
            return point_prompts(letterbox.points_to_input(point_xy_px[None]))

        first_look = self._ask(prompt_of, None)
        return self._look_again(first_look, prompt_of, best_level(first_look).box_xyxy_px())

    def _look_again(self, first_look: list[Level], prompt_of: PromptOf, box_xyxy_px: Float32) -> list[Level]:
        part_xyxy = zoom_part(box_xyxy_px, self._image_hw) if self._sam.zoom else None
        return first_look if part_xyxy is None else better_levels(first_look, self._ask(prompt_of, part_xyxy))

    def _ask(self, prompt_of: PromptOf, part_xyxy: Part | None) -> list[Level]:
        with torch.inference_mode():
            look, embedding = self._seen(part_xyxy)
            prompt = prompt_of(look.letterbox)
            coords, labels = torch.from_numpy(prompt.coords), torch.from_numpy(prompt.labels)
            logits, predicted_iou = self._sam.net.decode(embedding, coords, labels)
        return levels_of(logits[0].numpy(), predicted_iou[0].numpy(), look, prompt)

    def _seen(self, part_xyxy: Part | None) -> tuple[Look, torch.Tensor]:
        if part_xyxy not in self._looks:
            letterbox = Letterbox(self._image_hw, self._sam.net.side_px, part_xyxy)
            square_hwc_u8 = letterbox.apply(self._image_hwc_u8, MEAN_RGB)
            embedding = self._sam.net.encode(torch.from_numpy(square_hwc_u8)[None])
            self._looks[part_xyxy] = Look(letterbox, square_hwc_u8, self._sam.colour_weight), embedding
        return self._looks[part_xyxy]
