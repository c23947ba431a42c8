from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from training.scenes.drawing.outlines import OUTLINES
from training.scenes.things.catalogue import TOOL_NAMES, TOOLS, draw_tool


@pytest.mark.parametrize("name", TOOL_NAMES)
def test_each_category_draws_one_solid_thing(name: str) -> None:
    for seed in range(6):
        sprite = draw_tool(np.random.default_rng([seed, 7]), name, 120.0, (-0.7, -0.7))

        assert sprite.label == name
        assert sprite.rgb_hwc.shape == (*sprite.alpha_hw.shape, 3)
        assert 60 < max(sprite.size_hw) < 150
        assert np.isfinite(sprite.rgb_hwc).all()
        assert (sprite.rgb_hwc.min(), sprite.rgb_hwc.max()) >= (0.0, 0.0)
        assert sprite.alpha_hw.max() == pytest.approx(1.0, abs=0.01)
        border = np.concatenate([sprite.alpha_hw[[0, -1]].ravel(), sprite.alpha_hw[:, [0, -1]].ravel()])
        assert border.max() < 0.05, "the canvas cuts the drawing"


def test_specimens_of_a_category_differ() -> None:
    sizes = {draw_tool(np.random.default_rng(seed), "Pliers", 120.0, (1.0, 0.0)).size_hw for seed in range(8)}

    assert len(sizes) == 8


def test_names_are_labels_of_fod_a(fod_a_dir: Path) -> None:
    labels = (fod_a_dir / "labels.txt").read_text().split()

    assert len(TOOLS) >= 14
    assert set(TOOL_NAMES) <= set(labels)


def test_random_outlines_are_not_the_drawn_categories() -> None:
    """The class-agnostic shapes must not teach masks of the categories that scenes are labelled with."""
    drawn = {tool.draw.__name__ for tool in TOOLS.values()}

    assert not drawn & {outline.__name__ for outline in OUTLINES}
    assert all(outline.__module__ == "training.scenes.drawing.outlines" for outline in OUTLINES)
