"""Where labels come from: the bundle, the settings and the image, in each format's own place for it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from weaksam.files.atomic import write_json
from weaksam.formats.labelled import LabelledImage, LabelledSet

# The member of a format's own documents that holds it, where the format has none for it.
MEMBER = "weaksam"
SIDECAR = "provenance.json"


def run_provenance(labelled: LabelledSet) -> dict[str, Any]:
    """Return bundle and settings of a run; those of an earlier release have no settings."""
    return {name: labelled.info[name] for name in ("bundle", "options") if name in labelled.info}


def image_provenance(labelled: LabelledSet, image: LabelledImage) -> dict[str, Any]:
    """Return what labelled one image: bundle, settings, tags, and the digest of its pixels."""
    return {**run_provenance(labelled), **_of_image(image)}


def write_sidecar(labelled: LabelledSet, out: Path) -> None:
    """Write `provenance.json`, for formats that have no place of their own for it."""
    images = {image.file_name: _of_image(image) for image in labelled.images}
    document = {**run_provenance(labelled), "images": images}
    write_json(out / SIDECAR, document)


def _of_image(image: LabelledImage) -> dict[str, Any]:
    return {"image_sha256": image.sha256, "tags": list(image.tags)}
