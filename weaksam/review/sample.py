"""A random sample of a labelling run: it shows how right the labels are that nobody looks at."""

from __future__ import annotations

import hashlib
import math
from statistics import NormalDist

from weaksam.review.labelled_run import LabelledRun

CONFIDENCE = 0.95


def draw_sample(run: LabelledRun, count: int) -> tuple[int, ...]:
    """Return the ids of `count` images drawn at random; of all, if the run has fewer.

    The same run gives the same images, and a larger sample begins with a smaller one: a review can be resumed, and a
    sample that turns out too small can be enlarged.
    """
    return tuple(sorted(run.images, key=lambda id_: _place(run, id_))[:count])


def _place(run: LabelledRun, image_id: int) -> bytes:
    return hashlib.sha256(f"{run.sha256} {image_id}".encode()).digest()


def likely_share(hits: int, drawn: int) -> tuple[float, float]:
    """Return the lowest and highest share of a whole that leave `hits` of `drawn` likely: 19 of 20 samples agree.

    The score interval of Wilson, 1927, "Probable inference, the law of succession, and statistical inference". It
    holds for few draws and for shares near 0 and 1, too.
    """
    z = NormalDist().inv_cdf((1 + CONFIDENCE) / 2)
    share, weight = hits / drawn, z**2 / drawn
    middle = (share + weight / 2) / (1 + weight)
    reach = math.sqrt(weight * (share * (1 - share) + weight / 4)) / (1 + weight)
    return max(0.0, middle - reach), min(1.0, middle + reach)
