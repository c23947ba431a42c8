"""Interactive segmentation: points and a box of one object to the masks that they may mean."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence

import numpy as np

from models.letterbox import Letterbox, Part
from models.masks.drawing import mask_box
from models.masks.levels import Level, best_level, levels_of
from models.masks.zoom import better_levels, zoom_part
from models.prompting.prompts import BOTTOM_RIGHT, PADDING, TOP_LEFT, PromptBatch
from service.errors import InvalidRequest
from service.inference.image_features import ImageFeatures
from service.inference.mask_rendering import encode_mask
from service.inference.stages import Stages
from service.observability.timings import Timings
from weaksam.mask_schemas import MaskOptions
from weaksam.segment_schemas import SegmentMask, SegmentParameters

# Tools that count in shares of the image round a click on its edge over it.
EDGE_PX = 1.0


class Segmenting:
    """Answers one request.

    Args:
        stages: runs `sam_decoder`.
        features: of the image.
        letterbox: of the segmenter's input, if it sees the whole image.
        request: the prompt.
        timings: the request's clock.
    """

    def __init__(
        self,
        stages: Stages,
        features: ImageFeatures,
        letterbox: Letterbox,
        request: SegmentParameters,
        timings: Timings,
    ) -> None:
        self._stages = stages
        self._features = features
        self._letterbox = letterbox
        self._request = request
        self._timings = timings

    async def levels(self, *, zoom: bool) -> list[Level]:
        """Return the masks that the prompt may mean, in the decoder's order.

        With ``zoom`` a small object is looked at again: the box says how large it is, or the best mask of the first
        look does.
        """
        if zoom:
            await self._features.zoomable()  # kept, so that the next click need not send the image again
        first_look = await self._look(None)
        part_xyxy = self._part(first_look) if zoom else None
        return first_look if part_xyxy is None else better_levels(first_look, await self._look(part_xyxy))

    async def _look(self, part_xyxy: Part | None) -> list[Level]:
        segmenter = await self._features.segmenter(part_xyxy)
        look = segmenter.look
        with self._timings.stage("sam_decoder"):
            prompt = segment_prompt(self._request, look.letterbox)
            [(logits, predicted_iou)] = await self._stages.decode_masks(segmenter, [prompt], look.letterbox)
        return levels_of(logits, predicted_iou, look, prompt)

    def _part(self, first_look: Sequence[Level]) -> Part | None:
        """Return the part that holds the object and all points on it."""
        box_xyxy_px = np.array(self._request.box or best_level(first_look).box_xyxy_px(), np.float32)
        on_object = [(x, y, x, y) for x, y, label in self._request.points if label]
        corners = np.array([*([box_xyxy_px] if box_xyxy_px.any() else []), *on_object], np.float32)
        extent_px = np.concatenate([corners[:, :2].min(axis=0), corners[:, 2:].max(axis=0)])
        height, width = self._letterbox.image_hw
        return zoom_part(np.clip(extent_px, 0, (width, height, width, height)), (height, width))


def within_image(request: SegmentParameters, image_hw: tuple[int, int]) -> SegmentParameters:
    """Return the request with its box cut to the image, and without points off the object that lie outside.

    Raises:
        InvalidRequest: a point on the object, or the whole box, lies outside of the image: its mask would be a guess.
    """
    height, width = image_hw
    inside = [-EDGE_PX <= x <= width + EDGE_PX and -EDGE_PX <= y <= height + EDGE_PX for x, y, _ in request.points]
    for index, (x, y, label) in enumerate(request.points):
        if label and not inside[index]:
            raise _outside(f"points[{index}]", [x, y, label], image_hw)
    points = tuple(point for point, is_inside in zip(request.points, inside, strict=True) if is_inside)
    if request.box is None:
        return request.model_copy(update={"points": points})
    x0, y0, x1, y1 = request.box
    cut = (max(x0, 0.0), max(y0, 0.0), min(x1, width), min(y1, height))
    if cut[0] >= cut[2] or cut[1] >= cut[3]:
        raise _outside("box", request.box, image_hw)
    return request.model_copy(update={"points": points, "box": cut})


def _outside(field: str, value: Iterable[float], image_hw: tuple[int, int]) -> InvalidRequest:
    height, width = image_hw
    size = f"the image, {width} x {height} pixels"
    return InvalidRequest.of_field(field, f"is {list(value)}, outside of {size}: give pixels of the upright image")


def segment_prompt(request: SegmentParameters, letterbox: Letterbox) -> PromptBatch:
    """Return one prompt in pixels of the segmenter's input: the points, then the box.

    A single point without a box is padded, as Segment Anything does it (arXiv 2304.02643); several points run as they
    are. Points off the object and outside the letterbox's part say nothing about it, so they are left out.
    """
    points = [(x, y, label) for x, y, label in request.points if label or _is_seen(x, y, letterbox)]
    points_xy = [[x, y] for x, y, _ in points]
    labels = [float(label) for _, _, label in points]
    if request.box is not None:
        points_xy += [list(request.box[:2]), list(request.box[2:])]
        labels += [TOP_LEFT, BOTTOM_RIGHT]
    coords = letterbox.points_to_input(np.array(points_xy, np.float32))
    if len(labels) == 1:
        coords, labels = np.concatenate([coords, np.zeros((1, 2), np.float32)]), [*labels, PADDING]
    return PromptBatch(coords[None], np.array([labels], np.float32))


def _is_seen(x: float, y: float, letterbox: Letterbox) -> bool:
    if letterbox.part_xyxy is None:
        return True
    x0, y0, x1, y1 = letterbox.part_xyxy
    return x0 <= x < x1 and y0 <= y < y1


async def render_levels(levels: Sequence[Level], options: MaskOptions) -> tuple[SegmentMask, ...]:
    """Return the mask of each level, by falling predicted IoU."""
    ordered = sorted(levels, key=lambda level: -level.predicted_iou)
    return tuple(await asyncio.gather(*(asyncio.to_thread(_render, level, options) for level in ordered)))


def _render(level: Level, options: MaskOptions) -> SegmentMask:
    mask_hw = level.draw()
    x0, y0, x1, y1 = mask_box(mask_hw).tolist() if mask_hw.any() else (None,) * 4
    return SegmentMask(
        mask=None if options.mask_format == "none" else encode_mask(mask_hw, options),
        box_xyxy=None if x0 is None else (x0, y0, x1, y1),
        predicted_iou=round(level.predicted_iou, 6),
    )
