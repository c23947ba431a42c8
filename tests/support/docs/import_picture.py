"""Draws which folder may import which, as an SVG.

python -m tests.support.docs.import_picture docs/images/imports.svg
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

from tests.test_architecture import ARROWS, WHOLE

Graph = Mapping[str, set[str]]

BOX_WH = 112, 28
GAP_WH = 14, 44
HEAD_PX = 40
LANES = {"deploy": "#ede9fe", "training": "#fef3c7", "weaksam": "#dbeafe", "service": "#fce7f3", "models": "#dcfce7"}
STYLE = "text{font:13px sans-serif;text-anchor:middle}path{fill:none;stroke:#64748b}.box{fill:white;stroke:#64748b}"


def allowed_imports() -> dict[str, set[str]]:
    """Return, for each folder, those that it may import; a whole package stands for all its folders."""
    graph = {unit: set(targets) for unit, targets in ARROWS.items()}
    for unit, package in WHOLE:
        graph[unit] |= {name for name in ARROWS if package_of(name) == package} - {unit}
    empty = {"training", "deploy"}  # their roots hold no code
    return {unit: targets - empty for unit, targets in graph.items() if unit not in empty}


def package_of(unit: str) -> str:
    return unit.partition(".")[0]


def floor_of(unit: str, graph: Graph) -> int:
    """Return how many imports lead down from a folder at most; 0 imports nothing."""
    return max((1 + floor_of(target, graph) for target in graph[unit]), default=0)


def reachable(unit: str, graph: Graph) -> set[str]:
    """Return everything below a folder."""
    return graph[unit].union(*(reachable(target, graph) for target in graph[unit]))


def needed_arrows(graph: Graph) -> Iterator[tuple[str, str]]:
    """Yield the arrows that no longer way stands for."""
    for unit, targets in graph.items():
        further = set[str]().union(*(reachable(target, graph) for target in targets))
        yield from ((unit, target) for target in sorted(targets - further))


def lanes_of(graph: Graph) -> Iterator[tuple[str, list[list[str]]]]:
    """Yield each package with its folders, those of the highest floor first."""
    floors = 1 + max(floor_of(unit, graph) for unit in graph)
    for package in LANES:
        ours = [unit for unit in graph if package_of(unit) == package]
        yield package, [[unit for unit in ours if floor_of(unit, graph) == floor] for floor in reversed(range(floors))]


def draw() -> str:
    """Return the SVG: a lane for each package, arrows from each folder down to those that it may import."""
    graph = allowed_imports()
    step_w, step_h = BOX_WH[0] + GAP_WH[0], BOX_WH[1] + GAP_WH[1]
    lanes: list[str] = []
    places_xy: dict[str, tuple[int, int]] = {}
    left = height = 0
    for package, rows in lanes_of(graph):
        width, height = step_w * max(map(len, rows)) + GAP_WH[0], HEAD_PX + step_h * len(rows)
        lanes.append(f'<rect x="{left}" width="{width}" height="{height}" fill="{LANES[package]}"/>')
        lanes.append(f'<text x="{left + width // 2}" y="24" font-weight="bold">{package}/</text>')
        for row, units in enumerate(rows):
            indent = left + (width - step_w * len(units) + GAP_WH[0]) // 2
            for column, unit in enumerate(units):
                places_xy[unit] = indent + column * step_w, HEAD_PX + row * step_h
        left += width
    arrows = [_arrow(places_xy[unit], places_xy[target]) for unit, target in needed_arrows(graph)]
    boxes = [_box(unit, *place_xy) for unit, place_xy in places_xy.items()]
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {left} {height}"><style>{STYLE}</style>'
    return "\n".join([head, *lanes, *arrows, *boxes, "</svg>", ""])


def _arrow(from_xy: tuple[int, int], to_xy: tuple[int, int]) -> str:
    x0, y0, x1, y1 = from_xy[0] + BOX_WH[0] // 2, from_xy[1] + BOX_WH[1], to_xy[0] + BOX_WH[0] // 2, to_xy[1]
    return f'<path d="M{x0} {y0}C{x0} {(y0 + y1) // 2} {x1} {(y0 + y1) // 2} {x1} {y1}"/>'


def _box(unit: str, x: int, y: int) -> str:
    rect = f'<rect class="box" x="{x}" y="{y}" width="{BOX_WH[0]}" height="{BOX_WH[1]}" rx="5"/>'
    name = unit.partition(".")[2] or "the root"
    return f'{rect}<text x="{x + BOX_WH[0] // 2}" y="{y + 19}">{name}</text>'


if __name__ == "__main__":
    Path(sys.argv[1]).write_text(draw(), encoding="utf-8")
