"""A stored labelling run, run again: what is different now."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from weaksam.client import AsyncClient, ClientError
from weaksam.errors import UserError
from weaksam.files.image_source import as_os_errors
from weaksam.formats.labelled import LabelledImage, LabelledObject, LabelledSet
from weaksam.formats.polygons import mask_iou
from weaksam.formats.run_lengths import decode_rle
from weaksam.labelling.boxes import box_iou
from weaksam.labelling.run import detect_file
from weaksam.mask_schemas import RleMask
from weaksam.schemas import BundleInfo, Detection, DetectResult

OnDone = Callable[[], None]
Pair = tuple[LabelledObject, Detection]


@dataclass(frozen=True)
class Tolerance:
    """What counts as equal: another processor rounds in another way.

    Attributes:
        score: largest difference of scores.
        box_px: largest difference of a box's sides, in pixels of the image.
        mask_iou: smallest IoU of masks.
    """

    score: float = 0.001
    box_px: float = 0.5
    mask_iou: float = 0.99


@dataclass(frozen=True)
class Replay:
    """The outcome of running again.

    Attributes:
        stored, now: the bundles of then and of now; `stored` is None if the run does not name it.
        images: number of images that were sent.
        differences: sentences by image; images without any are absent.
    """

    stored: BundleInfo | None
    now: BundleInfo
    images: int
    differences: dict[str, tuple[str, ...]]

    @property
    def equal(self) -> bool:
        """Return whether everything is as it was, the bundle too."""
        return not self.differences and self.stored == self.now


async def replay(
    labelled: LabelledSet, folder: Path, client: AsyncClient, tolerance: Tolerance, workers: int, on_done: OnDone
) -> Replay:
    """Send the images of a run again, with its options and tags.

    Args:
        folder: of the images.
        workers: images in work at once.
        on_done: called after each image.

    Raises:
        UserError: the run is of a release that did not store its options.
        ClientError: the service does not respond at all.
    """
    options = labelled.info.get("options")
    if options is None:
        raise UserError("the run does not say with which options it was made: label once more with this release")
    now = (await client.labels()).bundle
    found: dict[str, tuple[str, ...]] = {}
    images = iter(labelled.images)

    async def work() -> None:
        for image in images:
            found[image.file_name] = await _differences(image, folder, client, options, tolerance)
            on_done()

    try:
        async with asyncio.TaskGroup() as group:
            for _ in range(workers):
                group.create_task(work())
    except ExceptionGroup as stopped:
        # The first error has stopped the other workers; it alone says what is wrong.
        raise stopped.exceptions[0] from stopped
    differences = {name: found[name] for name in sorted(found) if found[name]}
    bundle = labelled.info.get("bundle")
    return Replay(bundle and BundleInfo.model_validate(bundle, extra="ignore"), now, len(found), differences)


def compare(stored: LabelledImage, result: DetectResult, tolerance: Tolerance) -> tuple[str, ...]:
    """Return a sentence for each difference of one image."""
    if stored.sha256 is not None and stored.sha256 != result.image.sha256:
        return (f"the image is another one: its digest was {stored.sha256[:12]}, it is {result.image.sha256[:12]}",)
    pairs, gone, new = _matched(stored.objects, result.detections)
    sentences = [sentence for pair in pairs for sentence in _changes(pair, tolerance)]
    sentences += [f"{_named(thing)} is gone" for thing in gone]
    sentences += [f"{found.label} {_rounded(found.box_xyxy)} with score {found.score:.3f} is new" for found in new]
    return tuple(sentences)


async def _differences(
    image: LabelledImage, folder: Path, client: AsyncClient, options: dict[str, Any], tolerance: Tolerance
) -> tuple[str, ...]:
    if not image.tags and not image.objects:
        return ()  # none of its tags was a label; without tags, the models would propose some
    try:
        with as_os_errors():
            result = await detect_file(client, folder / image.file_name, image.tags, options)
    except ClientError as error:
        return (f"it has no result ({error.code}): {error}",)
    except OSError as error:
        return (f"the file cannot be read: {error.strerror or error}",)
    return await asyncio.to_thread(compare, image, result, tolerance)


def _matched(
    stored: Sequence[LabelledObject], detections: Sequence[Detection]
) -> tuple[list[Pair], list[LabelledObject], list[Detection]]:
    """Return pairs of one label, those that overlap most first, and what is left of both."""
    gone, new = list(stored), list(detections)
    candidates = [
        (box_iou(thing.box_xyxy, found.box_xyxy), i, j)
        for i, thing in enumerate(stored)
        for j, found in enumerate(detections)
        if thing.label == found.label
    ]
    pairs = []
    for iou, i, j in sorted(candidates, reverse=True):
        if iou > 0 and stored[i] in gone and detections[j] in new:
            gone.remove(stored[i])
            new.remove(detections[j])
            pairs.append((stored[i], detections[j]))
    return pairs, gone, new


def _changes(pair: Pair, tolerance: Tolerance) -> Iterator[str]:
    thing, found = pair
    if thing.score is not None and abs(thing.score - found.score) > tolerance.score:
        yield f"{_named(thing)}: the score was {thing.score:.3f}, it is {found.score:.3f}"
    moved_px = float(np.abs(np.subtract(thing.box_xyxy, found.box_xyxy)).max())
    if moved_px > tolerance.box_px:
        yield f"{_named(thing)}: its box has moved by {moved_px:.1f} pixels, to {_rounded(found.box_xyxy)}"
    # Equal run lengths are equal masks, also where both are empty.
    if thing.rle is not None and isinstance(found.mask, RleMask) and thing.rle != found.mask.rle():
        mask_hw, now_hw = decode_rle(thing.rle), decode_rle(found.mask.rle())
        iou = mask_iou(mask_hw, now_hw) if mask_hw.shape == now_hw.shape else 0.0
        if iou < tolerance.mask_iou:
            yield f"{_named(thing)}: its masks have IoU {iou:.3f}"


def _named(thing: LabelledObject) -> str:
    return f"{thing.label} {_rounded(thing.box_xyxy)}"


def _rounded(box_xyxy: Sequence[float]) -> list[int]:
    return [round(side) for side in box_xyxy]
