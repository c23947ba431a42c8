from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from training.scenes.drawing.random_outlines import OUTLINES
from training.scenes.objects.catalogue import CATEGORIES, CATEGORY_NAMES, draw_object


@pytest.mark.parametrize("name", CATEGORY_NAMES)
def test_each_category_draws_one_solid_thing(name: str) -> None:
    for seed in range(6):
        drawn = draw_object(np.random.default_rng([seed, 7]), name, 120.0, (-0.7, -0.7))

        assert drawn.label == name
        assert drawn.rgb_hwc.shape == (*drawn.alpha_hw.shape, 3)
        assert 60 < max(drawn.size_hw) < 150
        assert np.isfinite(drawn.rgb_hwc).all()
        assert (drawn.rgb_hwc.min(), drawn.rgb_hwc.max()) >= (0.0, 0.0)
        assert drawn.alpha_hw.max() == pytest.approx(1.0, abs=0.01)
        border = np.concatenate([drawn.alpha_hw[[0, -1]].ravel(), drawn.alpha_hw[:, [0, -1]].ravel()])
        assert border.max() < 0.05, "the image cuts the drawing"


def test_specimens_of_a_category_differ() -> None:
    sizes = {draw_object(np.random.default_rng(seed), "Pliers", 120.0, (1.0, 0.0)).size_hw for seed in range(8)}

    assert len(sizes) == 8


def test_names_are_labels_of_fod_a(fod_a_dir: Path) -> None:
    labels = (fod_a_dir / "labels.txt").read_text().split()

    assert len(CATEGORIES) >= 14
    assert set(CATEGORY_NAMES) <= set(labels)


def test_random_outlines_are_not_the_drawn_categories() -> None:
    """The class-agnostic shapes must not teach masks of the categories that scenes are labelled with."""
    drawn = {tool.draw.__name__ for tool in CATEGORIES.values()}

    assert not drawn & {outline.__name__ for outline in OUTLINES}
    assert all(outline.__module__ == "training.scenes.drawing.random_outlines" for outline in OUTLINES)
