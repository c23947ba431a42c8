"""Measure a bundle on annotated pictures through the pipeline that serves it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from models.bundle import Bundle, load_bundle
from models.image import decode_file
from models.labels import LabelSet
from models.masks import Rle
from service.backends.ort import Device, OrtBackend
from service.inference.cache import ResultCache
from service.inference.pipeline import Limits, Pipeline
from service.observability.metrics import Metrics
from training.data.open_dataset import open_dataset
from training.data.tagged import TaggedImage
from training.evaluation.stored_results import answers_path, read_answers, write_answers
from training.metrics.scorecard import NOTHING, Found, Proposed, Scorecard
from training.runs.ranks import local_rank, my_share, threads_of_rank, track_first, wait_for_ranks
from weaksam.schemas import DetectOptions, DetectResult, RleMask

# enough for the features of the picture at hand, so that its second run (without tags) encodes nothing anew
_CACHE_BYTES = 64 * 2**20


class Answers(NamedTuple):
    """The service's answers to one picture, asked with its tags and without."""

    tagged: DetectResult
    predicted: DetectResult


def evaluate(
    bundle_dir: Path,
    data_dir: Path,
    split: str,
    limit: int | None = None,
    threads: int = 0,
    answers_dir: Path | None = None,
    device: Device = "cpu",
) -> dict[str, Any]:
    """Run every picture of a split through the served pipeline, with its tags and without, and report.

    All candidates count (`min_score` 0), up to the service's 100 a picture, as in COCO's protocol: average precision
    ranks them itself. Labels match without regard to case,
    spaces, `-` and `_`; a class that the bundle does not know counts with all its objects missed.

    Args:
        bundle_dir: folder of the bundle.
        data_dir: data set with boxes, in any layout that `open_dataset` reads.
        split: `train`, `val`, `fit` or `test`.
        limit: measure the first so many pictures only.
        threads: of onnxruntime within one operator; 0 takes one per core, or one alone where ranks share the machine.
        answers_dir: keeps each picture's answers, so that a killed run goes on and ranks share the pictures. It must
            be of this bundle and these pictures alone.
        device: that onnxruntime runs on.

    Raises:
        BundleError, ValueError: the bundle or the data set cannot be used.
    """
    dataset = open_dataset(data_dir, split)
    images = dataset.images[:limit]
    if not images:
        raise ValueError(f"data: {data_dir} has no usable picture in split {split!r}; see `weaksam data check`")
    bundle = load_bundle(bundle_dir)
    if answers_dir is not None:
        answers_dir.mkdir(parents=True, exist_ok=True)
    scorecard = asyncio.run(_score_all(bundle, images, threads, answers_dir, device))
    unknown = [name for name in dataset.labels if bundle.labels.index(name) is None]
    return {
        "bundle": {"name": bundle.name, "version": bundle.version, "digest": bundle.digest},
        "data": dataset.name,
        "split": split,
        "problems": len(dataset.problems),
        "labels_not_in_bundle": unknown,
        **scorecard.report(),
    }


def answer_pictures(bundle_dir: Path, images: Sequence[TaggedImage], answers_dir: Path, device: Device = "cpu") -> None:
    """Keep the served pipeline's answers to pictures, as `evaluate` does, without measuring anything."""

    async def answer_all() -> None:
        async with _pipeline(load_bundle(bundle_dir), 0, device) as pipeline:
            await _keep_answers(pipeline, images, answers_dir)

    answers_dir.mkdir(parents=True, exist_ok=True)
    asyncio.run(answer_all())


async def _score_all(
    bundle: Bundle, images: Sequence[TaggedImage], threads: int, answers_dir: Path | None, device: Device
) -> Scorecard:
    async with _pipeline(bundle, threads, device) as pipeline:
        return await score_pictures(pipeline, images, answers_dir)


@asynccontextmanager
async def _pipeline(bundle: Bundle, threads: int, device: Device) -> AsyncIterator[Pipeline]:
    metrics = Metrics()
    backend = OrtBackend(
        bundle, device=device, device_index=local_rank(), intra_op_threads=threads or threads_of_rank()
    )
    try:
        yield Pipeline(bundle, backend, ResultCache(_CACHE_BYTES, metrics), Limits(), metrics)
    finally:
        await backend.aclose()


async def score_pictures(
    pipeline: Pipeline, images: Sequence[TaggedImage], answers_dir: Path | None = None
) -> Scorecard:
    """Send each picture through `pipeline` twice, with its tags and without, and add up what came back."""
    if answers_dir is not None:
        await _keep_answers(pipeline, images, answers_dir)
    scorecard = Scorecard()
    for image in track_first(images, "evaluate" if answers_dir is None else "scores"):
        if answers_dir is None:
            answers = await _ask(pipeline, image)
        else:
            answers = await _kept_answers(pipeline, image, answers_dir)
        _add_picture(scorecard, image, answers, pipeline.bundle.labels)
    return scorecard


async def _keep_answers(pipeline: Pipeline, images: Sequence[TaggedImage], answers_dir: Path) -> None:
    for image in track_first(my_share(images), "answers"):
        await _kept_answers(pipeline, image, answers_dir)
    wait_for_ranks()


async def _kept_answers(pipeline: Pipeline, image: TaggedImage, answers_dir: Path) -> Answers:
    path = answers_path(answers_dir, image.id)
    if path.exists():
        kept = read_answers(path)
        return Answers(*(DetectResult.model_validate(kept[name]) for name in Answers._fields))
    answers = await _ask(pipeline, image)
    write_answers({name: answer.model_dump(mode="json") for name, answer in answers._asdict().items()}, path)
    return answers


async def _ask(pipeline: Pipeline, image: TaggedImage) -> Answers:
    picture = decode_file(image.path)
    # masks of a hundred candidates take longer than all else, so they are drawn only where there are true ones
    has_masks = any(thing.mask_rle is not None for thing in image.objects)
    options = DetectOptions(
        min_score=0.0, mask_format="rle" if has_masks else "none", explain=True, unknown_tags="skip"
    )
    tagged = await pipeline.detect(picture, image.tags, options)
    predicted = await pipeline.detect(picture, (), DetectOptions(min_score=0.0, mask_format="none"))
    return Answers(tagged=tagged, predicted=predicted)


def _add_picture(scorecard: Scorecard, image: TaggedImage, answers: Answers, labels: LabelSet) -> None:
    tagged = answers.tagged
    truth = [replace(thing, label=_served_name(thing.label, labels)) for thing in image.objects]
    # asked without tags the pipeline proposes some, but a picture known to have none shows none of the classes
    scorecard.add(truth, _found(tagged) if image.tags else NOTHING, _found(answers.predicted), _proposed(tagged))


def _served_name(label: str, labels: LabelSet) -> str:
    index = labels.index(label)
    return label if index is None else labels.names[index]


def _found(result: DetectResult) -> Found:
    rows = result.detections
    masks: list[Rle] = [
        {"size": list(row.mask.size), "counts": row.mask.counts} for row in rows if isinstance(row.mask, RleMask)
    ]
    return Found(
        tuple(row.label for row in rows),
        np.array([row.score for row in rows], np.float32),
        np.array([row.box_xyxy for row in rows], np.float32).reshape(-1, 4),
        tuple(masks) if len(masks) == len(rows) else None,
    )


def _proposed(result: DetectResult) -> Proposed:
    assert result.explain is not None, "it was asked for"
    rows = result.explain.proposals
    return Proposed(
        np.array([row.box_xyxy for row in rows], np.float32).reshape(-1, 4),
        np.array([row.predicted_iou for row in rows], np.float32),
    )
