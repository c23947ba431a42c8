"""A labelling run under review: its images worst first, and the files of its photographs."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

from weaksam.errors import UserError
from weaksam.files.image_source import as_os_errors, is_address
from weaksam.formats.coco import DATASET
from weaksam.formats.labelled import LabelledImage, LabelledObject, LabelledSet, read_labelled
from weaksam.image_bytes import read_image_bytes
from weaksam.mask_schemas import RleMask
from weaksam.review.errors import ImageUnknown
from weaksam.review.schemas import ReviewObject


@dataclass(frozen=True)
class LabelledRun:
    """What `weaksam label` found, to be reviewed.

    Attributes:
        found: the images with their objects, and the bundle that found them.
        sha256: digest of the data set that all this was read from.
        images: by id, the most doubtful first; images without a review score come last.
        photos: folder of the image files, here or behind an address.
    """

    found: LabelledSet
    sha256: str
    images: dict[int, LabelledImage]
    photos: Path

    def image(self, image_id: int) -> LabelledImage:
        """Return an image; raise ImageUnknown if the run has none of this id."""
        if image_id not in self.images:
            raise ImageUnknown(f"the labelling run has no image with the id {image_id}")
        return self.images[image_id]

    def sent_sha256(self, image: LabelledImage) -> str | None:
        """Return the digest by which the service may still know an image; None if it may have got a smaller one."""
        options = self.found.info.get("options") or {}
        return None if options.get("max_side") else image.sha256

    def image_bytes(self, image_id: int) -> bytes:
        """Return the file of an image; raise ImageUnknown if it cannot be read."""
        path = self.photos / self.image(image_id).file_name
        try:
            with as_os_errors():
                return read_image_bytes(path)
        except OSError as error:
            raise ImageUnknown(f"{path} cannot be read: {error.strerror or error}") from error


def open_labelled_run(labelled_dir: Path, photos: Path) -> LabelledRun:
    """Read what `weaksam label` wrote into a folder.

    Raises:
        UserError: there is no labelling run that can be used, or no such folder of photographs.
    """
    if not is_address(photos) and not photos.is_dir():
        raise UserError(f"--photos {photos} is no folder: give the folder that was labelled")
    found = read_labelled(labelled_dir)
    ordered = sorted(found.images, key=lambda image: (-1.0 if image.review is None else image.review, -image.id))
    digest = hashlib.sha256((labelled_dir / DATASET).read_bytes()).hexdigest()
    return LabelledRun(found, digest, {image.id: image for image in reversed(ordered)}, photos)


def review_object(thing: LabelledObject) -> ReviewObject:
    """Return a found object in the form of the server."""
    mask = None if thing.rle is None else RleMask.model_validate(thing.rle)
    return ReviewObject(label=thing.label, box_xyxy=thing.box_xyxy, score=thing.score, mask=mask)
