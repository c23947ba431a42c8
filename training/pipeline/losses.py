"""Where a run's bundle loses objects, or tags: a part of the report, from results that the evaluation stored."""

from __future__ import annotations

import html
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from models.run_folder import REPORT
from training.data.tagged import TaggedImage
from training.evaluation.loss_sentences import loss_sentences
from training.evaluation.lost_objects import Chain, ImageResults, count_lost_objects, count_lost_tags
from training.evaluation.stored_results import read_tagged
from weaksam.files.atomic import read_json
from weaksam.files.html_page import sentence_list

# Enough images to say of 100 tags where they are lost, and minutes at most.
MAX_CHECKED_IMAGES = 64
Json = dict[str, Any]


def checked_images(images: Sequence[TaggedImage], chosen: Sequence[str]) -> list[TaggedImage]:
    """Return images without boxes whose results the report is made from: evenly spread ones, and those chosen by id."""
    count = min(MAX_CHECKED_IMAGES, len(images))
    spread = set(np.linspace(0, len(images) - 1, count).round().astype(int).tolist())
    return [image for row, image in enumerate(images) if row in spread or image.id in chosen]


def run_losses(chain: Chain, images: Sequence[TaggedImage], weak_dir: Path, final_dir: Path, cam_dir: Path) -> Json:
    """Return where one data set's objects are lost, or its tags if it has no boxes.

    Args:
        chain: the final bundle and the rule of pseudo ground truth.
        images: the data set's.
        weak_dir, final_dir: stored results of the weak detector's bundle, and of the final one.
        cam_dir: folder of the classifier's training, whose report has the mAP of tags on validation images.
    """
    results = [
        ImageResults(image, *(read_tagged(folder, image.id) for folder in (weak_dir, final_dir))) for image in images
    ]
    if any(image.objects for image in images):
        return count_lost_objects(chain, results)
    return count_lost_tags(chain, results) | {"tag_map": read_json(cam_dir / REPORT)["tag_map"]}


def losses_html(losses: Mapping[str, Json]) -> str:
    """Return the report's section: a list of sentences for each data set."""
    return "".join(
        f"<h3>{html.escape(data)}</h3>{sentence_list(loss_sentences(report))}" for data, report in losses.items()
    )
