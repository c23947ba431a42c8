"""The one geometry between an image, or a part of it, and a graph's square input."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import cv2
import numpy as np
import numpy.typing as npt

from models.masks.drawing import draw_mask
from weaksam.arrays import Mask

Part = tuple[int, int, int, int]


@dataclass(frozen=True)
class Letterbox:
    """Fits an image of ``image_hw`` pixels into a square of ``side_px``, padding at the bottom and right.

    Both axes are scaled to whole pixels, so each has its own exact factor: coordinates mapped there and back agree to
    float precision.

    Attributes:
        image_hw: size of the whole image in pixels.
        side_px: side of the square.
        part_xyxy: only this part of the image, half-open in whole pixels, is fitted into the square; None for all of
            it. All coordinates and masks stay those of the whole image.
    """

    image_hw: tuple[int, int]
    side_px: int
    part_xyxy: Part | None = None

    @cached_property
    def part_hw(self) -> tuple[int, int]:
        """Height and width of what is fitted into the square, in pixels of the image."""
        x0, y0, x1, y1 = self._part
        return y1 - y0, x1 - x0

    @cached_property
    def valid_hw(self) -> tuple[int, int]:
        """Height and width of the image, or its part, inside the square, at least one pixel each."""
        scale = self.side_px / max(self.part_hw)
        height, width = (max(1, round(length * scale)) for length in self.part_hw)
        return height, width

    @cached_property
    def scale_xy(self) -> tuple[float, float]:
        """Input pixels per image pixel along x and y."""
        return self.valid_hw[1] / self.part_hw[1], self.valid_hw[0] / self.part_hw[0]

    def apply(self, image_hwc_u8: npt.NDArray[np.uint8], fill_rgb: tuple[int, int, int]) -> npt.NDArray[np.uint8]:
        """Cut, resize and pad an image [h,w,3] to [S,S,3]; ``fill_rgb`` is the mean colour that normalises to zero.

        The pixels may be those of the image at another scale.
        """
        height, width = self.valid_hw
        padded = np.empty((self.side_px, self.side_px, 3), np.uint8)
        padded[:] = fill_rgb
        padded[:height, :width] = self._resized(image_hwc_u8)
        return padded

    def mask_to_input(self, mask_hw: Mask) -> Mask:
        """Mask [H,W] of the image to the pixels [S,S] of the graph's input that it covers by half or more."""
        height, width = self.valid_hw
        padded = np.zeros((self.side_px, self.side_px), np.bool_)
        padded[:height, :width] = self._resized(mask_hw.view(np.uint8) * np.uint8(255)) >= 128
        return padded

    def points_to_input(self, points_xy: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """Points [...,2] from image pixels to pixels of the graph's input."""
        return ((points_xy - self._origin_xy) * np.array(self.scale_xy, np.float32)).astype(np.float32)

    def points_to_image(self, points_xy: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """Points [...,2] from pixels of the graph's input to image pixels."""
        return (points_xy / np.array(self.scale_xy, np.float32) + self._origin_xy).astype(np.float32)

    def boxes_to_input(self, boxes_xyxy: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """Boxes [N,4] from image pixels to pixels of the graph's input."""
        return self.points_to_input(boxes_xyxy.reshape(-1, 2, 2)).reshape(-1, 4)

    def boxes_to_image(self, boxes_xyxy: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """Boxes [N,4] from pixels of the graph's input to image pixels, cut to the image or its part."""
        points_xy = self.points_to_image(boxes_xyxy.reshape(-1, 2, 2))
        part = np.array(self._part, np.float32)
        return np.clip(points_xy, part[:2], part[2:]).astype(np.float32).reshape(-1, 4)

    def boxes_for(self, other: Letterbox, boxes_xyxy: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """Boxes [N,4] from pixels of this input to pixels of ``other``, which holds the same image."""
        factor_xy = np.array(other.scale_xy) / np.array(self.scale_xy)
        shift_xy = (self._origin_xy - other._origin_xy) * np.array(other.scale_xy)
        corners_xy: npt.NDArray[np.float64] = boxes_xyxy.reshape(-1, 2, 2) * factor_xy + shift_xy
        return corners_xy.reshape(-1, 4).astype(np.float32)

    def mask_to_image(self, logits_hw: npt.NDArray[np.floating]) -> npt.NDArray[np.bool_]:
        """Mask logits [h,h] over the whole square, at any stride, to a mask [H,W] of the image (logit above 0).

        The mask is column-major in memory, as run lengths are. Nothing outside the part is in it.
        """
        mask = np.zeros(self.image_hw, np.bool_, order="F")
        step_xy = np.array(self.scale_xy) * logits_hw.shape[0] / self.side_px
        first_xy, last_xy = self._window(logits_hw, step_xy)
        if (first_xy >= last_xy).any():
            return mask
        draw_mask(mask, logits_hw, step_xy, -step_xy * self._origin_xy, first_xy, last_xy)
        return mask

    def _resized(self, pixels_u8: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
        """Cut and resize [h,w] or [h,w,C] to ``valid_hw``; channels do not change one another."""
        height, width = self.valid_hw
        cut_u8 = pixels_u8 if self.part_xyxy is None else self._cut(pixels_u8)
        interpolation = cv2.INTER_AREA if height < cut_u8.shape[0] else cv2.INTER_LINEAR
        return np.asarray(cv2.resize(cut_u8, (width, height), interpolation=interpolation), np.uint8)

    def _cut(self, pixels_u8: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
        scale_yx = np.array(pixels_u8.shape[:2]) / self.image_hw
        x0, y0, x1, y1 = self._part
        top, left = np.floor(scale_yx * (y0, x0)).astype(int)
        bottom, right = np.ceil(scale_yx * (y1, x1)).astype(int)
        return pixels_u8[top:bottom, left:right]

    @cached_property
    def _part(self) -> Part:
        return self.part_xyxy or (0, 0, self.image_hw[1], self.image_hw[0])

    @cached_property
    def _origin_xy(self) -> npt.NDArray[np.float32]:
        return np.array(self._part[:2], np.float32)

    def _window(
        self, logits_hw: npt.NDArray[np.floating], step_xy: npt.NDArray[np.float64]
    ) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
        """First x, y and the ones past the last of the image pixels within a cell's width of a cell above 0.

        Only these can be in the mask; most objects take a small part of the image.
        """
        columns, rows = (np.flatnonzero((logits_hw > 0).any(axis=axis)) for axis in (0, 1))
        if not len(rows):
            return np.zeros(2, np.int64), np.zeros(2, np.int64)
        first = (np.array([columns[0], rows[0]]) - 0.5) / step_xy - 0.5 + self._origin_xy
        last = (np.array([columns[-1], rows[-1]]) + 1.5) / step_xy + 0.5 + self._origin_xy
        low_xy, high_xy = self._part[:2], self._part[2:]
        return np.floor(first).astype(np.int64).clip(low_xy), np.ceil(last).astype(np.int64).clip(max=high_xy)
