"""Where the segmenter of a bundle may come from."""

from __future__ import annotations

import os
from pathlib import Path

from deploy.weights.download import DEFAULT_FOLDER, address_in, pull_weights
from deploy.weights.published import WEIGHTS, find_weights
from models.bundle import DEFAULT_BUNDLE, MANIFEST, PROMPT_MAP, SAM_GRAPHS, Bundle
from models.bundle_files.manifest import load_bundle
from models.nets.published_sam.open_published import PublishedSam, open_published
from models.run_folder import SAM, Run, open_run
from weaksam.errors import UserError
from weaksam.variables import WEIGHTS_URL_VARIABLE

SamSource = Run | Bundle | PublishedSam


def sam_path(sam: Path | None) -> Path:
    """Return the path of a segmenter; published weights that are given by name are downloaded if need be.

    Args:
        sam: a path, or a name of `weaksam weights list`, such as ``edgetam``; None is the default bundle.

    Raises:
        UserError: there is no such path, and no such name.
    """
    if sam is None or sam.exists():
        return sam or DEFAULT_BUNDLE
    if str(sam) not in {weights.name for weights in WEIGHTS}:
        names = ", ".join(weights.name for weights in WEIGHTS)
        raise UserError(
            f"sam: {sam} is no checkpoint, bundle or finished run of `weaksam train sam`, and no name of published "
            f"weights: {names}"
        )
    weights, mirror = find_weights(str(sam)), os.environ.get(WEIGHTS_URL_VARIABLE)
    return pull_weights(weights, DEFAULT_FOLDER, url=address_in(mirror, weights) if mirror else None)


def open_sam(sam: Path | None, side_px: int | None = None) -> SamSource:
    """Open the SAM to export: a training's folder, a bundle (by default the default one), or a published checkpoint.

    It knows no classes, so that every set of classes can be served with the same one.

    Args:
        sam: as `sam_path` takes it.
        side_px: side of the input in place of the published one, for networks whose weights do not depend on it.

    Raises:
        UserError: there is no such segmenter, or the side does not suit it.
    """
    path = sam_path(sam)
    if path.is_file():
        return open_published(path, side_px)
    if side_px is not None:
        raise UserError(f"side_px: {path} has a side of its own, leave it out")
    return load_bundle(path, SAM_GRAPHS) if (path / MANIFEST).is_file() else open_run(path, SAM)


def has_prompt_map(sam: SamSource) -> bool:
    """Return whether a segmenter has a prompt map; no published one has."""
    if isinstance(sam, PublishedSam):
        return False
    if isinstance(sam, Bundle):
        return PROMPT_MAP in sam.encoder_outputs
    return bool(sam.config.get("prompt_map", False))  # runs of earlier versions do not say
