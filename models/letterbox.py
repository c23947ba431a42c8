"""The one geometry between a picture and a graph's square input."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import cv2
import numpy as np
import numpy.typing as npt

from models.masks import draw_mask


@dataclass(frozen=True)
class Letterbox:
    """Fits a picture of ``image_hw`` pixels into a square of ``side_px``, padding at the bottom and right.

    Both axes are scaled to whole pixels, so each has its own exact factor: coordinates mapped there and back agree to
    float precision.
    """

    image_hw: tuple[int, int]
    side_px: int

    @cached_property
    def valid_hw(self) -> tuple[int, int]:
        """Height and width of the picture inside the square, at least one pixel each."""
        scale = self.side_px / max(self.image_hw)
        height, width = (max(1, round(length * scale)) for length in self.image_hw)
        return height, width

    @cached_property
    def scale_xy(self) -> tuple[float, float]:
        """Input pixels per image pixel along x and y."""
        return self.valid_hw[1] / self.image_hw[1], self.valid_hw[0] / self.image_hw[0]

    def apply(self, image_hwc_u8: npt.NDArray[np.uint8], fill_rgb: tuple[int, int, int]) -> npt.NDArray[np.uint8]:
        """Resize and pad a picture [H,W,3] to [S,S,3]; ``fill_rgb`` is the mean colour that normalises to zero."""
        height, width = self.valid_hw
        shrinking = height < self.image_hw[0]
        interpolation = cv2.INTER_AREA if shrinking else cv2.INTER_LINEAR
        padded = np.empty((self.side_px, self.side_px, 3), np.uint8)
        padded[:] = fill_rgb
        padded[:height, :width] = cv2.resize(image_hwc_u8, (width, height), interpolation=interpolation)
        return padded

    def points_to_input(self, points_xy: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """Points [...,2] from image pixels to pixels of the graph's input."""
        return (points_xy * np.array(self.scale_xy, np.float32)).astype(np.float32)

    def points_to_image(self, points_xy: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """Points [...,2] from pixels of the graph's input to image pixels."""
        return (points_xy / np.array(self.scale_xy, np.float32)).astype(np.float32)

    def boxes_to_input(self, boxes_xyxy: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """Boxes [N,4] from image pixels to pixels of the graph's input."""
        return self.points_to_input(boxes_xyxy.reshape(-1, 2, 2)).reshape(-1, 4)

    def boxes_to_image(self, boxes_xyxy: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """Boxes [N,4] from pixels of the graph's input to image pixels, cut to the picture."""
        boxes = self.points_to_image(boxes_xyxy.reshape(-1, 2, 2)).reshape(-1, 4)
        height, width = self.image_hw
        return np.clip(boxes, 0, np.array([width, height, width, height], np.float32)).astype(np.float32)

    def boxes_for(self, other: Letterbox, boxes_xyxy: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """Boxes [N,4] from pixels of this input to pixels of ``other``, which holds the same picture."""
        factor_xy = np.array(other.scale_xy) / np.array(self.scale_xy)
        boxes: npt.NDArray[np.float32] = (boxes_xyxy.reshape(-1, 2, 2) * factor_xy).reshape(-1, 4).astype(np.float32)
        return boxes

    def mask_to_image(self, logits_hw: npt.NDArray[np.floating]) -> npt.NDArray[np.bool_]:
        """Mask logits [h,h] over the whole square, at any stride, to a mask [H,W] of the picture (logit above 0).

        The mask is column-major in memory, as run lengths are.
        """
        mask = np.zeros(self.image_hw, np.bool_, order="F")
        step_xy = np.array(self.scale_xy) * logits_hw.shape[0] / self.side_px
        first_xy, last_xy = self._window(logits_hw, step_xy)
        if (first_xy >= last_xy).any():
            return mask
        draw_mask(mask, logits_hw, step_xy, np.zeros(2), first_xy, last_xy)
        return mask

    def _window(
        self, logits_hw: npt.NDArray[np.floating], step_xy: npt.NDArray[np.float64]
    ) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
        """First x, y and the ones past the last of the image pixels within a cell's width of a cell above 0.

        Only these can be in the mask; most objects take a small part of the picture.
        """
        columns, rows = (np.flatnonzero((logits_hw > 0).any(axis=axis)) for axis in (0, 1))
        if not len(rows):
            return np.zeros(2, np.int64), np.zeros(2, np.int64)
        first = (np.array([columns[0], rows[0]]) - 0.5) / step_xy - 0.5
        last = (np.array([columns[-1], rows[-1]]) + 1.5) / step_xy + 0.5
        return np.floor(first).astype(np.int64).clip(0), np.ceil(last).astype(np.int64).clip(max=self.image_hw[::-1])
