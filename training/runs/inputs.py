"""Digests of what a training is given, so that a resumed run does not go on from something else.

The whole path names its stages by digests of every byte (`training.runs.image_digests`). A single stage is started far
more often than its images change, so here an image counts by its size.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from models.bundle import MANIFEST
from models.labels import LabelSet
from models.run_folder import SAM, weights_file
from training.data.tagged import TaggedImage
from training.runs.stage import digest_of
from weaksam.errors import UserError
from weaksam.files.digests import file_sha256


def images_digest(images: Sequence[TaggedImage], labels: LabelSet, *, objects: bool = False) -> str:
    """Return a digest of labels, ids, tags and file sizes in order, and with ``objects`` of the true objects."""
    return digest_of([labels.names, _rows(images, objects=objects)])


def masked_images_digest(images: Sequence[TaggedImage]) -> str:
    """Return a digest of ids, file sizes, objects and masks in order, whatever the labels are."""
    return digest_of(_rows(images, objects=True))


def files_digest(paths: Sequence[Path]) -> str:
    """Return a digest of the content of files in order."""
    return digest_of([file_sha256(path) for path in paths])


def segmenter_digest(path: Path, setting: str = "sam") -> str:
    """Return the digest of a checkpoint, of a bundle's manifest or of a finished run's weights.

    Raises:
        UserError: there is none of them; the message names the ``setting``.
    """
    candidates = (path, path / MANIFEST, path / weights_file(SAM))
    found = next((candidate for candidate in candidates if candidate.is_file()), None)
    if found is None:
        raise UserError(f"{setting}: {path} is no checkpoint, bundle or finished run of `weaksam train sam`")
    return file_sha256(found)


def _rows(images: Sequence[TaggedImage], *, objects: bool) -> list[list[Any]]:
    return [
        [image.id, image.tags, image.path.stat().st_size, [vars(true) for true in image.objects if objects]]
        for image in images
    ]
