"""Evaluation of a bundle on annotated images, through the pipeline that serves it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from models.bundle import Bundle
from models.bundle_files.manifest import load_bundle
from models.bundle_files.sessions import Device
from models.image import decode_file
from models.labels import LabelSet
from service.backends.ort import OrtBackend
from service.inference.cache import ResultCache
from service.inference.pipeline import Pipeline, RequestLimits
from service.observability.metrics import Metrics
from training.data.open_dataset import open_dataset
from training.data.tagged import TaggedDataset, TaggedImage, with_known_objects
from training.evaluation.stored_results import read_results, results_path, write_results
from training.metrics.predictions import NO_PREDICTIONS, Predictions
from training.metrics.scorecard import ImageProposals, Scorecard
from training.runs.image_digests import image_key
from training.runs.ranks import local_rank, my_share, threads_of_rank, track_first, wait_for_ranks
from weaksam.errors import UserError
from weaksam.mask_schemas import RleMask
from weaksam.schemas import BundleInfo, DetectOptions, DetectResult

# enough for the features of the image at hand, so that its further runs (without tags, say) encode nothing anew
_CACHE_BYTES = 64 * 2**20
MADE_OF = "made_of"


class ServedResults(NamedTuple):
    """The service's results for one image.

    Attributes:
        tagged: all candidates with its tags given, explained.
        predicted: all candidates without tags.
        returned: with its tags given, what a request without further options gets.
        returned_untagged: the same without tags.
    """

    tagged: DetectResult
    predicted: DetectResult
    returned: DetectResult
    returned_untagged: DetectResult


def evaluate(
    bundle_dir: Path,
    data_dir: Path,
    split: str,
    limit: int | None = None,
    threads: int = 0,
    results_dir: Path | None = None,
    device: Device = "cpu",
    *,
    zoom: bool = False,
) -> dict[str, Any]:
    """Run every image of a split through the served pipeline, with its tags and without, and return the report.

    All candidates count (`min_score` 0), up to the service's 100 an image as in COCO's protocol: average precision
    ranks them itself. Labels match without regard to case, spaces, `-` and `_`. If the bundle does not know a class,
    all its objects count as missed.

    Args:
        bundle_dir: folder of the bundle.
        data_dir: data set with boxes, in any layout that `open_dataset` reads.
        split: `train`, `val`, `fit` or `test`.
        limit: measure only the first so many images.
        threads: of onnxruntime within one operator; 0 takes one per core, or one alone if ranks share the machine.
        results_dir: keeps each image's results, so that a killed run continues and ranks share the images. Those with
            zoom lie in a folder of their own in it.
        device: that onnxruntime runs on.
        zoom: look at small objects again, enlarged, for their masks.

    Raises:
        UserError: the bundle or the data set cannot be used, or ``results_dir`` holds results of another bundle.
            Results of an image that has other bytes or tags now are made anew.
    """
    dataset = open_dataset(data_dir, split)
    known = _with_true_boxes(dataset, data_dir, split)
    images = known[:limit]
    bundle = load_bundle(bundle_dir)
    if results_dir is not None:
        results_dir = results_dir / "zoom" if zoom else results_dir
        results_dir.mkdir(parents=True, exist_ok=True)

    async def score_all() -> Scorecard:
        async with _pipeline(bundle, threads, device, zoom=zoom) as pipeline:
            return await score_images(pipeline, images, results_dir)

    scorecard = asyncio.run(score_all())
    unknown = [name for name in dataset.labels if bundle.labels.index(name) is None]
    return {
        "bundle": BundleInfo.model_validate(bundle).model_dump(),
        "data": dataset.name,
        "split": split,
        "problems": len(dataset.problems),
        "images_without_boxes": len(dataset.images) - len(known),
        "labels_not_in_bundle": unknown,
        **scorecard.report(),
    }


def _with_true_boxes(dataset: TaggedDataset, data_dir: Path, split: str) -> Sequence[TaggedImage]:
    """Return the images that figures can be computed on; raise UserError if there are none."""
    if not dataset.images:
        raise UserError(f"data: {data_dir} has no usable image in split {split!r}; see `weaksam data check`")
    known = with_known_objects(dataset.images)
    if not any(image.objects for image in known):
        raise UserError(
            f"data: {data_dir} has no image in split {split!r} with a box for each of its tags, and figures need true "
            "boxes: give a data set that has them; `weaksam evaluate-losses` measures on tags"
        )
    return known


def store_results(
    bundle: Bundle, images: Sequence[TaggedImage], results_dir: Path, threads: int = 0, device: Device = "cpu"
) -> None:
    """Store the served pipeline's results for images, as `evaluate` does, without measuring anything."""

    async def store_all() -> None:
        async with _pipeline(bundle, threads, device) as pipeline:
            await _store_all(pipeline, images, results_dir)

    results_dir.mkdir(parents=True, exist_ok=True)
    asyncio.run(store_all())


@asynccontextmanager
async def _pipeline(bundle: Bundle, threads: int, device: Device, *, zoom: bool = False) -> AsyncIterator[Pipeline]:
    metrics = Metrics()
    backend = OrtBackend(
        bundle, device=device, device_index=local_rank(), intra_op_threads=threads or threads_of_rank()
    )
    try:
        yield Pipeline(bundle, backend, ResultCache(_CACHE_BYTES, metrics), RequestLimits(), metrics, zoom=zoom)
    finally:
        await backend.aclose()


async def score_images(pipeline: Pipeline, images: Sequence[TaggedImage], results_dir: Path | None = None) -> Scorecard:
    """Send each image through `pipeline`, with its tags and in every other way that is measured; add up the results."""
    if results_dir is not None:
        await _store_all(pipeline, images, results_dir)
    scorecard = Scorecard()
    for image in track_first(images, "evaluate" if results_dir is None else "scores"):
        if results_dir is None:
            results = await _detect(pipeline, image)
        else:
            results = await _stored_results(pipeline, image, results_dir)
        _add_image(scorecard, image, results, pipeline.bundle.labels)
    return scorecard


async def _store_all(pipeline: Pipeline, images: Sequence[TaggedImage], results_dir: Path) -> None:
    for image in track_first(my_share(images), "results"):
        await _stored_results(pipeline, image, results_dir)
    wait_for_ranks()


async def _stored_results(pipeline: Pipeline, image: TaggedImage, results_dir: Path) -> ServedResults:
    path = results_path(results_dir, image.id)
    stored = read_results(path) if path.exists() else {}
    made_of = stored.pop(MADE_OF, None)
    if stored.keys() == set(ServedResults._fields):
        kept = ServedResults(*(DetectResult.model_validate(stored[name]) for name in ServedResults._fields))
        made_by = kept.tagged.bundle
        if made_by != pipeline.info:
            other = f"{made_by.name} {made_by.version} ({made_by.digest[:12]})"
            raise UserError(f"{results_dir} holds results of another bundle, {other}: give another folder")
        if made_of == _made_of(image):
            return kept
    results = await _detect(pipeline, image)
    dumped = {name: result.model_dump(mode="json") for name, result in results._asdict().items()}
    write_results({MADE_OF: _made_of(image), **dumped}, path)
    return results


def _made_of(image: TaggedImage) -> str:
    """Return what an image's results depend on beside the bundle: its bytes and tags, and whether masks are drawn."""
    return f"{image_key(image)} {_has_masks(image)}"


def _has_masks(image: TaggedImage) -> bool:
    return any(thing.mask_rle is not None for thing in image.objects)


async def _detect(pipeline: Pipeline, image: TaggedImage) -> ServedResults:
    pixels = decode_file(image.path)
    # Masks of a hundred candidates take longer than all else, so they are drawn only if something depends on them.
    has_masks = _has_masks(image)
    moves_boxes = pipeline.bundle.post.box_mask_share > 0
    served = DetectOptions(
        min_score=0.0, mask_format="rle" if has_masks or moves_boxes else "none", unknown_tags="skip"
    )
    tagged = await pipeline.detect(pixels, image.tags, served)
    # An explanation takes the whole way for every tag, which is not what is served.
    explained = await pipeline.detect(
        pixels, image.tags, served.model_copy(update={"explain": True, "mask_format": "none"})
    )
    tagged = tagged.model_copy(update={"explain": explained.explain})
    plain = served.model_copy(update={"min_score": None})
    returned = await pipeline.detect(pixels, image.tags, plain)
    untagged = DetectOptions(min_score=0.0, mask_format="rle" if moves_boxes else "none")
    predicted = await pipeline.detect(pixels, (), untagged)
    returned_untagged = await pipeline.detect(pixels, (), untagged.model_copy(update={"min_score": None}))
    return ServedResults(tagged, predicted, returned, returned_untagged)


def _add_image(scorecard: Scorecard, image: TaggedImage, results: ServedResults, labels: LabelSet) -> None:
    tagged = results.tagged
    truth = [replace(thing, label=_served_name(thing.label, labels)) for thing in image.objects]
    # without tags the pipeline proposes some, but an image known to have none shows none of the classes
    of_tags, returned = (_found(result) if image.tags else NO_PREDICTIONS for result in (tagged, results.returned))
    scorecard.add(truth, of_tags, _found(results.predicted), _proposed(tagged))
    scorecard.add_returned(truth, returned, _found(results.returned_untagged))


def _served_name(label: str, labels: LabelSet) -> str:
    index = labels.index(label)
    return label if index is None else labels.names[index]


def _found(result: DetectResult) -> Predictions:
    rows = result.detections
    masks = [row.mask.rle() for row in rows if isinstance(row.mask, RleMask)]
    return Predictions(
        tuple(row.label for row in rows),
        np.array([row.score for row in rows], np.float32),
        np.array([row.box_xyxy for row in rows], np.float32).reshape(-1, 4),
        tuple(masks) if len(masks) == len(rows) else None,
    )


def _proposed(result: DetectResult) -> ImageProposals:
    assert result.explain is not None, "it was asked for"
    rows = result.explain.proposals
    return ImageProposals(
        np.array([row.box_xyxy for row in rows], np.float32).reshape(-1, 4),
        np.array([row.predicted_iou for row in rows], np.float32),
    )
