"""Pseudo ground truth: from the detector's boxes of tagged images to a COCO data set for any trainer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from models.bundle import Bundle
from models.bundle_files.manifest import load_bundle
from models.labels import LabelSet
from models.run_folder import REPORT
from training.data.tagged import TaggedImage, subsampled
from training.pseudo_labels.compare import compare_modes
from training.pseudo_labels.config import PseudoLabelConfig
from training.pseudo_labels.dataset import PseudoLabelledImage, PseudoObject, category_ids, write_pseudo_dataset
from training.pseudo_labels.masks import PseudoMask
from training.pseudo_labels.quality import report_quality
from training.pseudo_labels.selection import confirmed_objects, label_image, with_min_score
from training.pseudo_labels.store import Detected, DetectionStore
from training.runs.ranks import is_first_rank, my_share, rank_count, track_first, wait_for_ranks
from training.runs.run_folder import prepare_run
from weaksam.errors import UserError
from weaksam.files.atomic import write_json


def make_pseudo_labels(
    config: PseudoLabelConfig,
    bundle_dir: Path,
    images: Sequence[TaggedImage],
    labels: LabelSet,
    out_dir: Path,
    store_dir: Path | None = None,
) -> Path:
    """Write pseudo ground truth of tagged images as a COCO data set and return its JSON file.

    What is found is stored image by image: a killed run continues, and another mode costs no inference. The settings
    and ``report.json`` are written beside the data set. The report compares all modes if true boxes are known.

    Args:
        config: which boxes become pseudo ground truth.
        bundle_dir: a bundle with a detector (`wsod`), trained on these tags.
        images: images with tags.
        labels: the data set's classes, in the order of the categories written.
        out_dir: folder of the data set; `open_dataset(out_dir, "train")` reads it.
        store_dir: where detections and masks are kept for further runs; by default a folder in ``out_dir``.

    Raises:
        BundleError: the bundle cannot be used.
        UserError: a tag is unknown, or ``out_dir`` holds another data set.
    """
    _require_free(out_dir)
    bundle = load_bundle(bundle_dir)
    images = subsampled(images, config.subsample)
    _require_known_tags(images, labels, bundle)
    ids = category_ids(labels, config.categories)
    prepare_run(config, out_dir)
    store = DetectionStore(bundle, store_dir or out_dir / "store", config.teacher)
    detected = detect_images(images, store)
    config = with_min_score(config, detected)
    labelled_images = label_images(config, bundle, images, labels, store)
    report = {"mode": config.mode, "min_score": config.min_score, **report_quality(labelled_images, labels)}
    if any(image.objects for image in images):
        report["compared"] = compare_modes(config, bundle, images, detected, labels)
    write_json(out_dir / REPORT, report)
    return write_pseudo_dataset(labelled_images, labels, ids, out_dir, config.image_files)


def make_pseudo_labels_together(
    config: PseudoLabelConfig,
    bundle_dir: Path,
    images: Sequence[TaggedImage],
    labels: LabelSet,
    out_dir: Path,
    store_dir: Path | None = None,
) -> None:
    """Run `make_pseudo_labels` on all ranks: each fills its part of the store, the first writes the data set."""
    store_dir = store_dir or out_dir / "store"
    if rank_count() > 1:
        bundle = load_bundle(bundle_dir)
        store, sampled = DetectionStore(bundle, store_dir, config.teacher), subsampled(images, config.subsample)
        detect_images(my_share(sampled), store)
        wait_for_ranks()
        settled = with_min_score(config, detect_images(sampled, store))
        label_images(settled, bundle, my_share(sampled), labels, store)
        wait_for_ranks()
    if is_first_rank():
        make_pseudo_labels(config, bundle_dir, images, labels, out_dir, store_dir)
    wait_for_ranks()


def detect_images(images: Sequence[TaggedImage], store: DetectionStore) -> list[Detected]:
    """Return what the bundle finds in each image; several processes may share a store and the work."""
    return [store.detected(image) for image in track_first(images, "detections")]


def label_images(
    config: PseudoLabelConfig, bundle: Bundle, images: Sequence[TaggedImage], labels: LabelSet, store: DetectionStore
) -> list[PseudoLabelledImage]:
    """Return pseudo ground truth of each image, masks included, by settings from `with_min_score`.

    Objects that a person confirmed are taken as they are. Several processes may share a store and the work.
    """
    labelled_images = []
    for image in track_first(images, "pseudo ground truth"):
        if image.confirmed:
            labelled = confirmed_objects(image, labels)
        else:
            labelled = label_image(config, bundle, image, store.detected(image), labels)
        drawn = config.masks or config.boxes_from_masks
        labelled_images.append(_with_masks(config, labelled, store) if drawn else labelled)
    return labelled_images


def _with_masks(config: PseudoLabelConfig, labelled: PseudoLabelledImage, store: DetectionStore) -> PseudoLabelledImage:
    """Return the image with what masks give its objects: masks, tight boxes or both. Those with a mask stay."""
    bare = [thing for thing in labelled.objects if thing.mask is None]
    if not bare:
        return labelled
    boxes_xyxy = np.array([thing.box_xyxy for thing in bare], np.float32)
    drawn = iter(store.masks(labelled.image, boxes_xyxy, config.box_margin))
    objects = (thing if thing.mask else _drawn(config, thing, next(drawn)) for thing in labelled.objects)
    return replace(labelled, objects=tuple(objects))


def _drawn(config: PseudoLabelConfig, thing: PseudoObject, mask: PseudoMask) -> PseudoObject:
    box_xyxy = mask.box_xyxy if config.boxes_from_masks else thing.box_xyxy
    return replace(thing, box_xyxy=box_xyxy, mask=mask if config.masks else None)


def _require_free(out_dir: Path) -> None:
    """Refuse to replace annotations that someone drew."""
    if (out_dir / "annotations").exists() and not (out_dir / REPORT).exists():
        raise UserError(f"out: {out_dir} holds another data set: give a new folder for the pseudo ground truth")


def _require_known_tags(images: Sequence[TaggedImage], labels: LabelSet, bundle: Bundle) -> None:
    for tag in sorted({tag for image in images for tag in image.tags}):
        for owner, known in (("the data set", labels), (f"the bundle {bundle.name}", bundle.labels)):
            if known.index(tag) is None:
                nearest = ", ".join(known.nearest(tag))
                raise UserError(f"tags: {tag!r} is no label of {owner} (nearest: {nearest}): train on these tags first")
