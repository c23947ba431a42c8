"""A compact SAM's answers about one image, with and without zoom, as the service gives them."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import torch

from models.letterbox import Letterbox, Part
from models.nets.backbone import MEAN_RGB
from models.nets.compact_sam import CompactSam
from models.prompting.prompts import PromptBatch, box_prompts, point_prompts
from models.zoom import Level, best_level, better_levels, levels_of, zoom_part
from weaksam.arrays import Float32

PromptOf = Callable[[Letterbox], PromptBatch]


class AskedImage:
    """One image, of which every part is encoded once.

    Args:
        net: answers.
        image_hwc_u8: upright RGB.
        zoom: look at small objects again, enlarged, see `models.zoom`.
    """

    def __init__(self, net: CompactSam, image_hwc_u8: npt.NDArray[np.uint8], *, zoom: bool) -> None:
        self._net = net
        self._image_hwc_u8 = image_hwc_u8
        self._image_hw = (image_hwc_u8.shape[0], image_hwc_u8.shape[1])
        self._zoom = zoom
        self._embeddings: dict[Part | None, torch.Tensor] = {}

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
        part_xyxy = zoom_part(box_xyxy_px, self._image_hw) if self._zoom else None
        return first_look if part_xyxy is None else better_levels(first_look, self._ask(prompt_of, part_xyxy))

    def _ask(self, prompt_of: PromptOf, part_xyxy: Part | None) -> list[Level]:
        letterbox = Letterbox(self._image_hw, self._net.side_px, part_xyxy)
        prompt = prompt_of(letterbox)
        coords, labels = torch.from_numpy(prompt.coords), torch.from_numpy(prompt.labels)
        with torch.inference_mode():
            embedding = self._embedding(letterbox)
            logits, predicted_iou = self._net.decode(embedding, coords, labels)
        return levels_of(logits[0].numpy(), predicted_iou[0].numpy(), letterbox, prompt)

    def _embedding(self, letterbox: Letterbox) -> torch.Tensor:
        part_xyxy = letterbox.part_xyxy
        if part_xyxy not in self._embeddings:
            square_hwc_u8 = letterbox.apply(self._image_hwc_u8, MEAN_RGB)
            self._embeddings[part_xyxy] = self._net.encode(torch.from_numpy(square_hwc_u8)[None])
        return self._embeddings[part_xyxy]
