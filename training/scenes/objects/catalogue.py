"""The drawn categories by their FOD-A label names, with their usual lengths."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from training.scenes.drawing.layers import Layer, render
from training.scenes.drawing.object_image import ObjectImage
from training.scenes.objects import debris, everyday_items, fasteners, hand_tools


@dataclass(frozen=True)
class Category:
    """A kind of object: `draw` returns the layers of one random specimen, `length_cm` is its usual length."""

    draw: Callable[[np.random.Generator], list[Layer]]
    length_cm: float


CATEGORIES: dict[str, Category] = {
    "AdjustableClamp": Category(hand_tools.clamp, 8),
    "AdjustableWrench": Category(hand_tools.adjustable_wrench, 22),
    "Battery": Category(everyday_items.battery, 5.5),
    "Bolt": Category(fasteners.bolt, 7),
    "BoltNutSet": Category(fasteners.bolt_nut_set, 6),
    "BoltWasher": Category(fasteners.bolt_washer, 4),
    "Cutter": Category(hand_tools.cutter, 15),
    "FuelCap": Category(everyday_items.fuel_cap, 8),
    "Hammer": Category(hand_tools.hammer, 30),
    "Hose": Category(debris.hose, 35),
    "Label": Category(everyday_items.label, 18),
    "LuggageTag": Category(everyday_items.luggage_tag, 11),
    "MetalSheet": Category(debris.metal_sheet, 20),
    "Nail": Category(fasteners.nail, 7),
    "Nut": Category(fasteners.nut, 3),
    "PaintChip": Category(debris.paint_chip, 8),
    "Pen": Category(everyday_items.pen, 14),
    "Pliers": Category(hand_tools.pliers, 19),
    "Rock": Category(debris.rock, 8),
    "Screw": Category(fasteners.screw, 5),
    "Screwdriver": Category(hand_tools.screwdriver, 21),
    "SodaCan": Category(everyday_items.soda_can, 12),
    "Tape": Category(everyday_items.tape, 9),
    "Washer": Category(fasteners.flat_washer, 3.5),
    "Wire": Category(debris.wire, 25),
    "Wood": Category(debris.wood, 22),
    "Wrench": Category(hand_tools.wrench, 18),
}
CATEGORY_NAMES = tuple(CATEGORIES)


def draw_object(rng: np.random.Generator, name: str, length_px: float, light_xy: tuple[float, float]) -> ObjectImage:
    """Return a random specimen of the category `name` (a key of `CATEGORIES`), about `length_px` pixels long."""
    return render(rng, CATEGORIES[name].draw(rng), length_px, light_xy, name)
