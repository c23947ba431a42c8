"""Random samples of a review, and what their shares say of the whole."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import binomtest

from tests.support.servers.review_server import write_labelled
from weaksam.review.labelled_run import LabelledRun, open_labelled_run
from weaksam.review.sample import draw_sample, likely_share

IMAGES = 400


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> LabelledRun:
    """Half of the images are doubtful, and these come first in the run."""
    folder = tmp_path_factory.mktemp("sample")
    write_labelled(folder, {f"{number:03}.png": ["Bolt", "Nut"][: 1 + number % 2] for number in range(IMAGES)})
    return open_labelled_run(folder / "labelled", folder / "photos")


def test_a_larger_sample_begins_with_a_smaller_one(run: LabelledRun) -> None:
    assert draw_sample(run, 50) == draw_sample(run, 100)[:50]
    assert len(set(draw_sample(run, 100))) == 100


def test_a_sample_is_no_larger_than_the_run(run: LabelledRun) -> None:
    assert set(draw_sample(run, 10 * IMAGES)) == set(run.images)


def test_a_sample_is_drawn_from_doubtful_and_other_images_alike(run: LabelledRun) -> None:
    doubtful = sum(len(run.image(image_id).objects) == 2 for image_id in draw_sample(run, 100))
    assert 35 <= doubtful <= 65


@pytest.mark.parametrize(("hits", "drawn"), [(0, 1), (0, 20), (20, 20), (87, 100), (350, 400)])
def test_the_likely_share_is_wilsons(hits: int, drawn: int) -> None:
    expected = binomtest(hits, drawn).proportion_ci(method="wilson")
    np.testing.assert_allclose(likely_share(hits, drawn), (expected.low, expected.high), atol=1e-9)
