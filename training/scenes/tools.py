"""The drawn categories by their FOD-A label names, with the length each has beside the others."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from training.scenes import tools_debris, tools_fasteners, tools_goods, tools_hand
from training.scenes.sketch import Layer, render
from training.scenes.sprite import Sprite


@dataclass(frozen=True)
class Tool:
    """`draw` gives the layers of one random specimen, `length_cm` the usual length of its longest side."""

    draw: Callable[[np.random.Generator], list[Layer]]
    length_cm: float


TOOLS: dict[str, Tool] = {
    "AdjustableClamp": Tool(tools_hand.clamp, 8),
    "AdjustableWrench": Tool(tools_hand.adjustable_wrench, 22),
    "Battery": Tool(tools_goods.battery, 5.5),
    "Bolt": Tool(tools_fasteners.bolt, 7),
    "BoltNutSet": Tool(tools_fasteners.bolt_nut_set, 6),
    "BoltWasher": Tool(tools_fasteners.bolt_washer, 4),
    "Cutter": Tool(tools_hand.cutter, 15),
    "FuelCap": Tool(tools_goods.fuel_cap, 8),
    "Hammer": Tool(tools_hand.hammer, 30),
    "Hose": Tool(tools_debris.hose, 35),
    "Label": Tool(tools_goods.label, 18),
    "LuggageTag": Tool(tools_goods.luggage_tag, 11),
    "MetalSheet": Tool(tools_debris.metal_sheet, 20),
    "Nail": Tool(tools_fasteners.nail, 7),
    "Nut": Tool(tools_fasteners.nut, 3),
    "PaintChip": Tool(tools_debris.paint_chip, 8),
    "Pen": Tool(tools_goods.pen, 14),
    "Pliers": Tool(tools_hand.pliers, 19),
    "Rock": Tool(tools_debris.rock, 8),
    "Screw": Tool(tools_fasteners.screw, 5),
    "Screwdriver": Tool(tools_hand.screwdriver, 21),
    "SodaCan": Tool(tools_goods.soda_can, 12),
    "Tape": Tool(tools_goods.tape, 9),
    "Washer": Tool(tools_fasteners.flat_washer, 3.5),
    "Wire": Tool(tools_debris.wire, 25),
    "Wood": Tool(tools_debris.wood, 22),
    "Wrench": Tool(tools_hand.wrench, 18),
}
TOOL_NAMES = tuple(TOOLS)


def draw_tool(rng: np.random.Generator, name: str, length_px: float, light_xy: tuple[float, float]) -> Sprite:
    """A random specimen of the category `name` (a key of `TOOLS`), about `length_px` pixels long."""
    return render(rng, TOOLS[name].draw(rng), length_px, light_xy, name)
