"""The drawn categories by their FOD-A label names, with the length each has beside the others."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from training.scenes.drawing.sketch import Layer, render
from training.scenes.drawing.sprite import Sprite
from training.scenes.things import debris, fasteners, goods, hand_tools


@dataclass(frozen=True)
class Tool:
    """`draw` gives the layers of one random specimen, `length_cm` the usual length of its longest side."""

    draw: Callable[[np.random.Generator], list[Layer]]
    length_cm: float


TOOLS: dict[str, Tool] = {
    "AdjustableClamp": Tool(hand_tools.clamp, 8),
    "AdjustableWrench": Tool(hand_tools.adjustable_wrench, 22),
    "Battery": Tool(goods.battery, 5.5),
    "Bolt": Tool(fasteners.bolt, 7),
    "BoltNutSet": Tool(fasteners.bolt_nut_set, 6),
    "BoltWasher": Tool(fasteners.bolt_washer, 4),
    "Cutter": Tool(hand_tools.cutter, 15),
    "FuelCap": Tool(goods.fuel_cap, 8),
    "Hammer": Tool(hand_tools.hammer, 30),
    "Hose": Tool(debris.hose, 35),
    "Label": Tool(goods.label, 18),
    "LuggageTag": Tool(goods.luggage_tag, 11),
    "MetalSheet": Tool(debris.metal_sheet, 20),
    "Nail": Tool(fasteners.nail, 7),
    "Nut": Tool(fasteners.nut, 3),
    "PaintChip": Tool(debris.paint_chip, 8),
    "Pen": Tool(goods.pen, 14),
    "Pliers": Tool(hand_tools.pliers, 19),
    "Rock": Tool(debris.rock, 8),
    "Screw": Tool(fasteners.screw, 5),
    "Screwdriver": Tool(hand_tools.screwdriver, 21),
    "SodaCan": Tool(goods.soda_can, 12),
    "Tape": Tool(goods.tape, 9),
    "Washer": Tool(fasteners.flat_washer, 3.5),
    "Wire": Tool(debris.wire, 25),
    "Wood": Tool(debris.wood, 22),
    "Wrench": Tool(hand_tools.wrench, 18),
}
TOOL_NAMES = tuple(TOOLS)


def draw_tool(rng: np.random.Generator, name: str, length_px: float, light_xy: tuple[float, float]) -> Sprite:
    """A random specimen of the category `name` (a key of `TOOLS`), about `length_px` pixels long."""
    return render(rng, TOOLS[name].draw(rng), length_px, light_xy, name)
