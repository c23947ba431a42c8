"""One drawn object as an image of its own: its colours and where they cover what lies below."""

from __future__ import annotations

from dataclasses import dataclass

from training.scenes.drawing.noise import Floats


@dataclass(frozen=True)
class ObjectImage:
    """`rgb_hwc` float32 [h,w,3] in 0..1 and `alpha_hw` float32 [h,w] in 0..1; pixels with alpha >= 0.5 are its mask."""

    rgb_hwc: Floats
    alpha_hw: Floats
    label: str = ""

    @property
    def size_hw(self) -> tuple[int, int]:
        height, width = self.alpha_hw.shape
        return height, width
