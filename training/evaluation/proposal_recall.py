"""Recall of proposals: prompts from the classifier's maps, from the prompt map or a grid, and from both.

Selective search can be measured beside them.
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import numpy as np

from models.boxes import pairwise_iou
from models.bundle import PROPOSAL_GRAPHS, Bundle
from models.bundle_files.manifest import load_bundle
from models.letterbox import Letterbox
from training.data.open_dataset import open_dataset
from training.data.tagged import TaggedImage
from training.metrics.average_precision import recall_at
from training.metrics.hits import true_boxes
from training.proposals.graph_runner import GraphRunner
from training.runs.ranks import track_first
from weaksam.arrays import Float32
from weaksam.errors import UserError
from weaksam.schemas import BundleInfo

SearchMode = Literal["fast", "quality"]
SELECTIVE_SEARCH = Path(__file__).with_name("selective_search.py")
WAYS = ("cam", "map_or_grid", "both")
EQUAL_TO = "both"


def evaluate_proposals(
    bundle_dir: Path,
    data_dir: Path,
    split: str,
    limit: int | None = None,
    threads: int = 0,
    search_python: Path | None = None,
    search_mode: SearchMode = "fast",
) -> dict[str, Any]:
    """Return the recall of true boxes by the proposals of each kind of prompt, and by selective search.

    All ways have the same bound, ``max_proposals`` of the bundle. Selective search is measured twice: at that bound,
    and image by image at the number of proposals that both kinds of prompt made together.

    Args:
        bundle_dir: a bundle, with or without a detector.
        data_dir: data set with boxes.
        split: `train`, `val`, `fit` or `test`.
        limit: number of images, evenly spread over the split.
        threads: of onnxruntime within one operator; 0 takes one per core.
        search_python: interpreter with OpenCV's contrib modules; None leaves selective search out.
        search_mode: `fast` takes a second an image, `quality` several for a few more boxes.

    Raises:
        UserError: no image has boxes, or selective search could not be run.
    """
    bundle = load_bundle(bundle_dir, PROPOSAL_GRAPHS)
    images = _spread([image for image in open_dataset(data_dir, split).images if image.objects], limit)
    if not images:
        raise UserError(f"data: {data_dir} has no image with boxes in split {split!r}; recall needs true boxes")
    boxes = _propose_all(bundle, images, threads)
    if search_python is not None:
        found = _search_all(search_python, images, bundle.prompts.max_proposals, search_mode)
        boxes["selective_search"] = found
        boxes["selective_search_equal_count"] = [
            searched[: len(ours)] for searched, ours in zip(found, boxes[EQUAL_TO], strict=True)
        ]
    return {
        "bundle": BundleInfo.model_validate(bundle).model_dump(),
        "data": data_dir.name,
        "split": split,
        "images": len(images),
        "objects": sum(len(_true_boxes(image)) for image in images),
        "max_proposals": bundle.prompts.max_proposals,
        "selective_search": search_mode if search_python is not None else None,
        "ways": {way: _measure(images, of_way) for way, of_way in boxes.items()},
    }


def _spread(images: Sequence[TaggedImage], limit: int | None) -> list[TaggedImage]:
    if limit is None or limit >= len(images):
        return list(images)
    return [images[index] for index in np.linspace(0, len(images) - 1, limit).round().astype(int)]


def _propose_all(bundle: Bundle, images: Sequence[TaggedImage], threads: int) -> dict[str, list[Float32]]:
    """Return boxes [P,4] of each image by each kind of prompt, in pixels of the upright image."""
    runner = GraphRunner(bundle, threads)
    boxes: dict[str, list[Float32]] = {way: [] for way in WAYS}
    cam_alone = replace(bundle.prompts, grid_sides=(), map_max_count=0)
    for image in track_first(images, "proposals"):
        letterbox = Letterbox(image.size_hw, bundle.side_px)
        known = bundle.labels.indices(image.tags)
        for way in WAYS:
            settings = cam_alone if way == "cam" else bundle.prompts
            proposed = runner.propose(image, [] if way == "map_or_grid" else known, settings).proposal_set
            boxes[way].append(letterbox.boxes_to_image(proposed.proposals.boxes_xyxy))
    return boxes


def _search_all(python: Path, images: Sequence[TaggedImage], max_boxes: int, mode: SearchMode) -> list[Float32]:
    ended = subprocess.run(  # noqa: S603  # the interpreter that the caller names
        [str(python), str(SELECTIVE_SEARCH), str(max_boxes), mode],
        input=json.dumps([str(image.path.resolve()) for image in images]),
        capture_output=True,
        text=True,
        check=False,
    )
    if ended.returncode:
        reason = (ended.stderr.strip().splitlines() or ["no reason given"])[-1]
        raise UserError(f"selective search by {python} failed: {reason}")
    return [np.array(boxes, np.float32).reshape(-1, 4) for boxes in json.loads(ended.stdout)]


def _measure(images: Sequence[TaggedImage], boxes: Sequence[Float32]) -> dict[str, Any]:
    best_ious = [
        pairwise_iou(_true_boxes(image), proposed).max(axis=1, initial=0.0)
        for image, proposed in zip(images, boxes, strict=True)
    ]
    return {
        "proposals_per_image": round(float(np.mean([len(proposed) for proposed in boxes])), 1),
        "recall": recall_at(np.concatenate(best_ious)),
    }


def _true_boxes(image: TaggedImage) -> Float32:
    return true_boxes([thing for thing in image.objects if not thing.difficult])
