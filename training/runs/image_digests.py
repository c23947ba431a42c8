"""Digests of images and of lists of them, so that a stage knows whether its data changed."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from functools import cache
from pathlib import Path

from training.data.tagged import TaggedImage
from training.runs.ranks import is_first_rank
from training.runs.stage import digest_of
from weaksam.files.atomic import read_json, write_text
from weaksam.files.digests import file_sha256


def image_key(image: TaggedImage) -> str:
    """Return a name for what is computed from an image: its bytes and tags decide it, not where it lies.

    A file is read again only if its size or its time has changed: stores need the key of an image several times.
    """
    state = image.path.stat()
    return _key(image.path, image.tags, (state.st_size, state.st_mtime_ns))


@cache
def _key(path: Path, tags: tuple[str, ...], _stamp: tuple[int, int]) -> str:
    return hashlib.sha256(path.read_bytes() + json.dumps(tags).encode()).hexdigest()[:24]


class ImageDigests:
    """The sha256 of image files; a file is read again only if its size or its time has changed."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._known: dict[str, list[int | str]] = read_json(path) if path.is_file() else {}

    def of_images(self, images: Sequence[TaggedImage]) -> str:
        """Return a digest of ids, tags, true objects and file contents, in order."""
        rows = [
            [image.id, image.tags, [vars(true) for true in image.objects], self._of_file(image.path)]
            + (["confirmed"] if image.confirmed else [])
            for image in images
        ]
        self._save()
        return digest_of(rows)

    def _of_file(self, path: Path) -> str:
        state = path.stat()
        stamp = [state.st_size, state.st_mtime_ns]
        name = str(path.resolve())
        known = self._known.get(name)
        if known is None or known[:2] != stamp:
            known = [*stamp, file_sha256(path)]
            self._known[name] = known
        return str(known[2])

    def _save(self) -> None:
        if is_first_rank():
            write_text(self._path, json.dumps(self._known))
