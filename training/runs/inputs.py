"""Digests of what a training is given, so that a resumed run does not go on from something else.

The whole path names its stages by digests of every byte (`training.runs.image_digests`). A single stage is started far
more often than its images change, so here an image counts by its size.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from models.bundle import file_sha256
from models.labels import LabelSet
from training.data.tagged import TaggedImage
from training.runs.stage import digest_of


def images_digest(images: Sequence[TaggedImage], labels: LabelSet, *, objects: bool = False) -> str:
    """Return a digest of labels, ids, tags and file sizes in order, and with ``objects`` of the true objects."""
    rows = [
        [image.id, image.tags, image.path.stat().st_size, [vars(true) for true in image.objects if objects]]
        for image in images
    ]
    return digest_of([labels.names, rows])


def files_digest(paths: Sequence[Path]) -> str:
    """Return a digest of the content of files in order."""
    return digest_of([file_sha256(path) for path in paths])
