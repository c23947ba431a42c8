"""Pseudo ground truth: from the detector's boxes of tagged pictures to a COCO data set that any trainer reads."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from models.bundle import Bundle, load_bundle
from models.labels import LabelSet
from training.data.tagged import TaggedImage
from training.pseudo_labels.dataset import LabelledPicture, PseudoObject, category_ids, write_pgt_dataset
from training.pseudo_labels.quality import count_hits, report_pgt
from training.pseudo_labels.rules import adaptive_pgt, threshold_pgt, top1_pgt
from training.pseudo_labels.store import Detected, DetectionStore
from training.runs.engine import prepare_run
from training.runs.ranks import is_first_rank, my_share, rank_count, track_first, wait_for_ranks

STEPS = tuple(step / 10 for step in range(1, 11))
COMPARED_PICTURES = 2000


@dataclass(frozen=True)
class PgtConfig:
    """Settings of `make_pgt`.

    Attributes:
        mode: ``adaptive``: the best box of each tag, and those whose score, divided by the range of the tag's scores
            in the picture, reaches ``keep_share``, without boxes that lie inside another. ``top1``: the best box
            alone. ``threshold``: all boxes that reach ``least_score``; a tag may go without.
        keep_share: of ``adaptive``; 0.3 for VOC and 0.5 for COCO in the paper.
        contained_share: of ``adaptive``: a box goes when at least this share of it lies inside another of its tag.
        further_quantile: of ``adaptive``: boxes besides the best must also reach this quantile of the best boxes'
            scores, over all tags of all pictures. 0, as published, asks nothing: a tag whose best box is a poor guess
            then brings as many others as one whose best box is sure.
        least_score: of ``threshold``; left out, the bundle's thresholds per class, calibrated on tags. Of ``adaptive``:
            what ``further_quantile`` comes to, where it is not left to that.
        masks: draw each box's mask with the bundle's segmenter.
        pictures: ``link`` the pictures into the data set, or ``copy`` them, so that it can be moved elsewhere.
        every: label every n-th picture; neighbouring frames of one video look alike.
        categories: a COCO file whose category ids the data set is to have, such as the one it will be scored with: a
            trainer that knows COCO's 80 classes by their ids up to 90 needs them. Left out, they count from 1.
    """

    mode: Literal["adaptive", "top1", "threshold"] = "adaptive"
    keep_share: float = 0.3
    contained_share: float = 0.85
    further_quantile: float = 0.0
    least_score: float | None = None
    masks: bool = False
    pictures: Literal["link", "copy"] = "link"
    every: int = 1
    categories: Path | None = None

    def __post_init__(self) -> None:
        if not 0 <= self.further_quantile < 1:
            raise ValueError(f"further_quantile: must be from 0 to below 1, got {self.further_quantile}")


def make_pgt(
    config: PgtConfig,
    bundle_dir: Path,
    images: Sequence[TaggedImage],
    labels: LabelSet,
    out_dir: Path,
    store_dir: Path | None = None,
) -> Path:
    """Write pseudo ground truth of tagged pictures as a COCO data set; returns its JSON file.

    Goes picture by picture and keeps what it finds, so that a killed run goes on where it was and another mode costs
    no inference. Writes beside the data set the settings and ``report.json``, which compares all modes where true
    boxes are known.

    Args:
        config: which boxes become pseudo ground truth.
        bundle_dir: a bundle with a detector (`wsod`), trained on these tags.
        images: pictures with tags.
        labels: the data set's classes, in the order of the categories written.
        out_dir: folder of the data set; `open_dataset(out_dir, "train")` reads it.
        store_dir: where detections and masks are kept for further runs; by default a folder in ``out_dir``.

    Raises:
        BundleError: the bundle cannot be used.
        ValueError: a tag is unknown, or ``out_dir`` holds another data set.
    """
    _require_free(out_dir)
    bundle = load_bundle(bundle_dir)
    images = images[:: config.every]
    _require_known_tags(images, labels, bundle)
    ids = category_ids(labels, config.categories)
    prepare_run(config, out_dir)
    store = DetectionStore(bundle, store_dir or out_dir / "store")
    detected = detect_pictures(images, store)
    config = with_least_score(config, detected)
    pictures = label_pictures(config, bundle, images, labels, store)
    report = {"mode": config.mode, "least_score": config.least_score, **report_pgt(pictures, labels)}
    if any(image.objects for image in images):
        report["compared"] = compare_modes(config, bundle, images, detected, labels)
    (out_dir / "report.json").write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    return write_pgt_dataset(pictures, labels, ids, out_dir, config.pictures)


def make_pgt_together(
    config: PgtConfig,
    bundle_dir: Path,
    images: Sequence[TaggedImage],
    labels: LabelSet,
    out_dir: Path,
    store_dir: Path | None = None,
) -> None:
    """`make_pgt` by all ranks: each fills its part of the store, and the first one writes the data set from it."""
    store_dir = store_dir or out_dir / "store"
    if rank_count() > 1:
        bundle = load_bundle(bundle_dir)
        store, chosen = DetectionStore(bundle, store_dir), images[:: config.every]
        detect_pictures(my_share(chosen), store)
        wait_for_ranks()
        settled = with_least_score(config, detect_pictures(chosen, store))
        label_pictures(settled, bundle, my_share(chosen), labels, store)
        wait_for_ranks()
    if is_first_rank():
        make_pgt(config, bundle_dir, images, labels, out_dir, store_dir)
    wait_for_ranks()


def detect_pictures(images: Sequence[TaggedImage], store: DetectionStore) -> list[Detected]:
    """What the bundle finds in each picture; several processes may share a store and the work."""
    return [store.detected(image) for image in track_first(images, "detections")]


def with_least_score(config: PgtConfig, detected: Sequence[Detected]) -> PgtConfig:
    """The settings with ``least_score`` settled from ``further_quantile`` and the detections of all pictures."""
    best = best_scores(detected)
    if config.mode != "adaptive" or config.further_quantile == 0 or config.least_score is not None or not best:
        return config
    return replace(config, least_score=round(float(np.quantile(best, config.further_quantile)), 6))


def best_scores(detected: Sequence[Detected]) -> list[float]:
    """The score of the best box of each tag in each picture."""
    return [
        float(found.scores[found.labels == label].max()) for found in detected for label in set(found.labels.tolist())
    ]


def label_pictures(
    config: PgtConfig, bundle: Bundle, images: Sequence[TaggedImage], labels: LabelSet, store: DetectionStore
) -> list[LabelledPicture]:
    """Pseudo ground truth of each picture, masks included, by settings from `with_least_score`.

    Several processes may share a store and the work.
    """
    pictures = []
    for image in track_first(images, "pseudo ground truth"):
        picture = label_picture(config, bundle, image, store.detected(image), labels)
        if config.masks and picture.objects:
            boxes_xyxy = np.array([thing.box_xyxy for thing in picture.objects], np.float32)
            drawn = zip(picture.objects, store.masks(image, boxes_xyxy), strict=True)
            picture = replace(picture, objects=tuple(replace(thing, mask=mask) for thing, mask in drawn))
        pictures.append(picture)
    return pictures


def label_picture(
    config: PgtConfig, bundle: Bundle, image: TaggedImage, detected: Detected, labels: LabelSet
) -> LabelledPicture:
    """The boxes of a picture that become pseudo ground truth, tag by tag in the order of the data set's labels."""
    objects: list[PseudoObject] = []
    pairs = {(labels.index(tag), bundle.labels.index(tag)) for tag in image.tags}
    for label, class_index in sorted((ours, its) for ours, its in pairs if ours is not None and its is not None):
        rows = np.flatnonzero(detected.labels == class_index)
        boxes_xyxy, scores = detected.boxes_xyxy[rows], detected.scores[rows]
        for row in _chosen(config, boxes_xyxy, scores, bundle.thresholds.score[class_index]):
            x0, y0, x1, y1 = boxes_xyxy[row].tolist()
            objects.append(PseudoObject(label, (x0, y0, x1, y1), float(scores[row])))
    return LabelledPicture(image, tuple(objects))


def compare_modes(
    config: PgtConfig,
    bundle: Bundle,
    images: Sequence[TaggedImage],
    detected: Sequence[Detected],
    labels: LabelSet,
) -> dict[str, Any]:
    """Precision and recall of ``top1``, and of the other modes over the range of their setting.

    Of very many pictures with true boxes about `COMPARED_PICTURES`, spread evenly, are measured.
    ``at_precision_of_top1`` names for each mode the point of highest recall among those at least as precise as
    ``top1``, or null: the fair comparison of how many true objects they find. True boxes choose that point, so it
    says what a mode can do and not what a setting chosen without boxes will do.
    """
    known = [(image, found) for image, found in zip(images, detected, strict=True) if image.objects]
    known = known[:: max(1, len(known) // COMPARED_PICTURES)]
    best = best_scores([found for _, found in known])
    # quantiles of the best boxes' scores, because each method has its own scale
    least_scores = np.quantile(best, STEPS[:-1]).round(6).tolist() if best else []

    def measured(name: str, value: float | None, variant: PgtConfig) -> dict[str, Any]:
        pictures = [label_picture(variant, bundle, image, found, labels) for image, found in known]
        hits, counted, objects = count_hits(pictures, labels).sum(axis=0).tolist()
        return {
            name: value,
            "precision": round(hits / max(1, counted), 4),
            "recall": round(hits / max(1, objects), 4),
            "instances_per_picture": round(counted / len(known), 4),
        }

    adaptive = config
    if config.mode != "adaptive":
        adaptive = with_least_score(replace(config, mode="adaptive", least_score=None), detected)
    top1 = measured("boxes", 1, replace(config, mode="top1"))
    points = {
        "adaptive": [measured("keep_share", s, replace(adaptive, keep_share=s)) for s in STEPS],
        "threshold": [
            measured("least_score", s, replace(config, mode="threshold", least_score=s)) for s in least_scores
        ],
    }
    return {
        "top1": top1,
        "at_precision_of_top1": {name: _best_recall(rows, top1["precision"]) for name, rows in points.items()},
        **points,
    }


def _best_recall(points: Sequence[dict[str, Any]], least_precision: float) -> dict[str, Any] | None:
    precise = [point for point in points if point["precision"] >= least_precision]
    return max(precise, key=lambda point: point["recall"], default=None)


def _chosen(
    config: PgtConfig, boxes_xyxy: npt.NDArray[np.float32], scores: npt.NDArray[np.float32], calibrated: float
) -> npt.NDArray[np.int64]:
    if config.mode == "top1":
        return top1_pgt(scores)
    if config.mode == "threshold":
        return threshold_pgt(scores, calibrated if config.least_score is None else config.least_score)
    return adaptive_pgt(boxes_xyxy, scores, config.keep_share, config.contained_share, config.least_score or 0.0)


def _require_free(out_dir: Path) -> None:
    """Pseudo labels never take the place of annotations that someone drew."""
    if (out_dir / "annotations").exists() and not (out_dir / "report.json").exists():
        raise ValueError(f"out: {out_dir} holds another data set: give a new folder for the pseudo ground truth")


def _require_known_tags(images: Sequence[TaggedImage], labels: LabelSet, bundle: Bundle) -> None:
    for tag in sorted({tag for image in images for tag in image.tags}):
        for owner, known in (("the data set", labels), (f"the bundle {bundle.name}", bundle.labels)):
            if known.index(tag) is None:
                nearest = ", ".join(known.nearest(tag))
                raise ValueError(
                    f"tags: {tag!r} is no label of {owner} (nearest: {nearest}): train on these tags first"
                )
