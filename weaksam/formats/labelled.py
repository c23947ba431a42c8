"""The stored result of a labelling run, as every format is written from it."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import numpy.typing as npt

from weaksam.arrays import Mask
from weaksam.errors import UserError
from weaksam.files.image_source import as_os_errors
from weaksam.files.text_files import lines_of
from weaksam.formats.coco import DATASET, REVIEWED
from weaksam.formats.labelled_document import DecisionState, LabelledDocument, parse_labelled
from weaksam.formats.polygons import Ring, join_rings, mask_iou, mask_to_polygons, polygons_to_mask
from weaksam.formats.run_lengths import decode_rle
from weaksam.mask_schemas import Rle
from weaksam.schemas import Box
from weaksam.validation_images import val_ids

Shares = npt.NDArray[np.float64]
SUMMARY = "conversion.json"  # of an export
_NOT_IN_XML = re.compile(r"[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


@dataclass(frozen=True)
class LabelledObject:
    """One detection.

    Attributes:
        box_xyxy: half-open, in pixels of the image.
        score: None if a person drew it.
        rle: COCO compressed run lengths of the mask; None without one.
    """

    label: str
    box_xyxy: Box
    score: float | None
    rle: Rle | None

    def mask(self) -> Mask | None:
        """Return the mask [H,W]."""
        return None if self.rle is None else decode_rle(self.rle)


@dataclass(frozen=True)
class LabelledImage:
    """An image and what was found in it, best first.

    Attributes:
        file_name: its path below the folder, with `/`.
        tags: labels that it was tagged with.
        review: how urgently a person should look at it, 0..1, with `review_reason` in words. None in runs of
            earlier versions.
        sha256: digest of size and upright pixels, as the service states it; None in runs of earlier versions.
        review_state: what a person decided; None if nobody did, or in a run itself.
    """

    id: int
    file_name: str
    size_hw: tuple[int, int]
    objects: tuple[LabelledObject, ...]
    tags: tuple[str, ...] = ()
    review: float | None = None
    review_reason: str = ""
    sha256: str | None = None
    review_state: DecisionState | None = None

    @property
    def found_labels(self) -> tuple[str, ...]:
        """Labels of its objects, each once."""
        return tuple(sorted({thing.label for thing in self.objects}))

    @property
    def confirmed(self) -> bool:
        """Whether a person said that its objects are right and complete."""
        return self.review_state in ("accepted", "corrected")


@dataclass(frozen=True)
class LabelledSet:
    """A labelling run. `info` names the bundle that labelled it; category ids count `labels` from 1."""

    labels: tuple[str, ...]
    images: tuple[LabelledImage, ...]
    info: dict[str, Any]

    def only(self, images: Iterable[LabelledImage]) -> LabelledSet:
        """Return the same set with these images alone."""
        return replace(self, images=tuple(images))


@dataclass
class PolygonMaker:
    """Turns masks into polygons and notes how well they fit.

    Attributes:
        min_fidelity: smallest IoU of an object's polygons with its mask.
        fidelities_iou: the IoU of each object so far.
    """

    min_fidelity: float
    fidelities_iou: list[float] = field(default_factory=list)

    def rings_xy(self, thing: LabelledObject) -> tuple[Ring, ...]:
        """Return one ring for each part of an object; none if it has no mask or an empty one."""
        mask_hw = thing.mask()
        if mask_hw is None:
            return ()
        polygons = mask_to_polygons(mask_hw, self.min_fidelity)
        self.fidelities_iou.append(polygons.fidelity_iou)
        return polygons.rings_xy

    def outline_shares(self, thing: LabelledObject, decimals: int) -> Shares | None:
        """Return one ring [N,2] for the whole object, in shares of the image's sides; None without a mask.

        Bridges of no width join its parts. The IoU that is noted is that of the rounded numbers.
        """
        mask_hw = thing.mask()
        if mask_hw is None or not mask_hw.any():
            return None
        sides_px = np.array(mask_hw.shape[::-1])
        # Where simplified parts overlap, the even-odd rule cuts a hole into one ring: then nothing is simplified.
        for min_fidelity in (self.min_fidelity, 1.0):
            ring = join_rings(mask_to_polygons(mask_hw, min_fidelity).rings_xy)
            shares: Shares = np.round(ring / sides_px, decimals)
            fidelity = mask_iou(polygons_to_mask([shares * sides_px], mask_hw.shape), mask_hw)
            if fidelity >= self.min_fidelity:
                break
        self.fidelities_iou.append(fidelity)
        return shares


def read_labelled(folder: Path) -> LabelledSet:
    """Read what `weaksam label` wrote into a folder.

    Raises:
        UserError: the folder holds no finished labelling run, or one with a member that cannot be, which is named.
    """
    return _read(folder / DATASET, "label")


def read_reviewed(folder: Path) -> LabelledSet:
    """Read what `weaksam review` wrote into a folder; an image that is not `confirmed` has no objects there.

    Raises:
        UserError: as `read_labelled`.
    """
    return _read(folder / REVIEWED, "review")


def read_final(folder: Path, reviewed: Path | None) -> LabelledSet:
    """Read the labels as they are to be used.

    Args:
        folder: of a run, or of a review: then confirmed images alone.
        reviewed: folder of a review of that run: its objects take the place of those found, and images that were
            rejected are left out.

    Raises:
        UserError: as `read_labelled`, or the review is one of another run.
    """
    if reviewed is not None:
        return _with_review(read_labelled(folder), read_reviewed(reviewed), reviewed)
    if (folder / REVIEWED).is_file() and not (folder / DATASET).is_file():
        decided = read_reviewed(folder)
        return decided.only(image for image in decided.images if image.confirmed)
    return read_labelled(folder)


def _with_review(found: LabelledSet, decided: LabelledSet, reviewed: Path) -> LabelledSet:
    decided_images = {image.id: image for image in decided.images}
    if {image.id: image.file_name for image in found.images} != {
        image.id: image.file_name for image in decided.images
    } or found.info.get("bundle") != decided.info.get("bundle"):
        raise UserError(f"{reviewed} is a review of another run: name the folder that was reviewed")
    latest = (
        replace(decided_images[image.id], sha256=image.sha256) if decided_images[image.id].confirmed else image
        for image in found.images
        if decided_images[image.id].review_state != "rejected"
    )
    return decided.only(latest)


def _read(path: Path, command: str) -> LabelledSet:
    try:
        with as_os_errors():
            data = path.read_bytes()
    except FileNotFoundError as error:
        raise UserError(f"{path} does not exist: name a folder that `weaksam {command}` wrote") from error
    try:
        return _from_document(parse_labelled(data))
    except UserError as error:
        raise UserError(f"{path} is no data set that `weaksam {command}` wrote: {error}") from error


def _from_document(document: LabelledDocument) -> LabelledSet:
    names = {row.id: row.name for row in document.categories}
    found: dict[int, list[LabelledObject]] = defaultdict(list)
    for row in document.annotations:
        x, y, width, height = row.bbox
        rle = None if row.segmentation is None else row.segmentation.rle()
        thing = LabelledObject(names[row.category_id], (x, y, x + width, y + height), row.score, rle)
        found[row.image_id].append(thing)
    images = tuple(
        LabelledImage(
            row.id,
            row.file_name,
            (row.height, row.width),
            tuple(found[row.id]),
            row.tags,
            row.review,
            row.review_reason,
            row.sha256,
            row.review_state,
        )
        for row in document.images
    )
    return LabelledSet(tuple(names.values()), images, document.info)


def train_and_val(labelled: LabelledSet) -> dict[str, LabelledSet]:
    """Return a run's images by split, as `weaksam train` would cut them; a single image is in both."""
    tags_of = {image.file_name: image.tags or image.found_labels for image in labelled.images}
    held_out = val_ids(tags_of, {})
    train = labelled.only(image for image in labelled.images if image.file_name not in held_out)
    val = labelled.only(image for image in labelled.images if image.file_name in held_out)
    return {"train": train, "val": val if held_out else train}


def check_xml_names(names: Iterable[str]) -> None:
    """Raise UserError if a name has a character that no XML can hold: nobody could read the file."""
    for name in names:
        if _NOT_IN_XML.search(name):
            raise UserError(
                f"{name!r} has a control character, which XML cannot hold: rename it, or take another format"
            )


def check_list_names(names: Iterable[str]) -> None:
    """Raise UserError if a name cannot be a line of a list: it would be read as two names."""
    for name in names:
        if len(lines_of(name)) > 1:
            raise UserError(f"{name!r} has a line end, which a list cannot hold: rename it, or take another format")


def one_file_for_each(
    labelled: LabelledSet,
    folder: Path,
    suffix: str,
    place: Callable[[PurePosixPath], PurePosixPath] = lambda name: name,
) -> Iterator[tuple[LabelledImage, Path]]:
    """Yield each image and the path of its file in `folder`, named after it, whose parent it makes.

    Args:
        suffix: of the file.
        place: where the file of that name lies in `folder`.

    Raises:
        UserError: two images differ in their suffixes alone, or one has the name of the summary.
    """
    taken: dict[PurePosixPath, str] = {}
    for image in labelled.images:
        name = PurePosixPath(image.file_name).with_suffix(suffix)
        if name == PurePosixPath(SUMMARY):
            raise UserError(f"{image.file_name} would become {name}, which describes the conversion: rename the image")
        if name in taken:
            raise UserError(f"{taken[name]} and {image.file_name} would both become {name}: rename one of them")
        taken[name] = image.file_name
        path = folder / place(name)
        path.parent.mkdir(parents=True, exist_ok=True)
        yield image, path
