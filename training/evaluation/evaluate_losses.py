"""Measure where a bundle loses the objects, or the tags, of a data set."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from models.bundle import DETECTOR, Bundle
from models.bundle_files.manifest import load_bundle
from models.bundle_files.sessions import Device
from training.data.open_dataset import open_dataset
from training.data.tagged import TaggedImage
from training.evaluation.evaluate import store_results
from training.evaluation.lost_objects import Chain, ImageResults, count_lost_objects, count_lost_tags
from training.evaluation.stored_results import read_tagged
from training.pseudo_labels.selection import settled_rule
from weaksam.errors import UserError
from weaksam.schemas import BundleInfo


def evaluate_losses(
    bundle_dir: Path,
    data_dir: Path,
    split: str,
    results_dir: Path,
    pgt_dir: Path | None = None,
    limit: int | None = None,
    threads: int = 0,
    device: Device = "cpu",
) -> dict[str, Any]:
    """Return where the objects of a data set are lost, or its tags if it has no boxes.

    See `count_lost_objects` and `count_lost_tags`.

    Args:
        bundle_dir: folder of the bundle. Its weak detector runs as well, without the retrained one.
        data_dir: data set in any layout that `open_dataset` reads.
        split: `train`, `val`, `fit` or `test`.
        results_dir: keeps each image's results of this bundle and data, so that a killed run continues.
        pgt_dir: folder of the finished `weaksam train pgt` that the detector was retrained on; None leaves the stage
            out, and what it lost counts as lost by retraining.
        limit: measure only the first so many images.
        threads: of onnxruntime within one operator; 0 takes one per core.
        device: that onnxruntime runs on.

    Raises:
        UserError: bundle, data set or folder of pseudo ground truth cannot be used.
    """
    images = [image for image in open_dataset(data_dir, split).images if image.confirmed is not False][:limit]
    if not images:
        raise UserError(f"data: {data_dir} has no usable image in split {split!r}; see `weaksam data check`")
    bundle = load_bundle(bundle_dir)
    chain = Chain(bundle, settled_rule(pgt_dir) if pgt_dir is not None else None)
    results = _results(bundle, images, results_dir, threads, device)
    has_boxes = any(image.objects for image in images)
    return {
        "bundle": BundleInfo.model_validate(bundle).model_dump(),
        "data": data_dir.name,
        "split": split,
        "images": len(images),
        **(count_lost_objects(chain, results) if has_boxes else count_lost_tags(chain, results)),
    }


def _results(
    bundle: Bundle, images: Sequence[TaggedImage], results_dir: Path, threads: int, device: Device
) -> list[ImageResults]:
    weak = replace(bundle, graphs={name: graph for name, graph in bundle.graphs.items() if name != DETECTOR})
    without_masks = [replace(image, objects=()) for image in images]  # or masks would be drawn, which nobody looks at
    dirs = {name: results_dir / name for name in ("weak", "final")}
    for name, asked in (("weak", weak), ("final", bundle)):
        store_results(asked, without_masks, dirs[name], threads, device)
    return [ImageResults(image, *(read_tagged(folder, image.id) for folder in dirs.values())) for image in images]
