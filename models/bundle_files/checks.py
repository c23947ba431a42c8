"""What must hold in a bundle before anything runs."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from pathlib import Path

from models.bundle import (
    CAM,
    CLASS_GRAPHS,
    DETECTOR,
    MANIFEST,
    SAM_BOXES,
    SAM_DECODER,
    SAM_ENCODER,
    SAM_GRAPHS,
    Bundle,
    BundleError,
)
from weaksam.files.digests import file_sha256

KNOWN_KINDS = re.compile(r"coarse|fine|cross_\d+_\d+")  # the last: a block and a head


def check_bundle(bundle: Bundle, required: Sequence[str]) -> None:
    """Check that the parts of a bundle fit each other, and that its files are those that it names.

    Raises:
        BundleError: naming the file or field that is wrong.
    """
    missing = [name for name in required if name not in bundle.graphs]
    if missing:
        raise BundleError(f"{bundle.folder / MANIFEST}: graphs lacks {', '.join(missing)}: export the bundle again")
    # One letterboxed image goes to the segmenter's graphs, and one to those that know classes.
    for together in ((*SAM_GRAPHS, SAM_BOXES), CLASS_GRAPHS):
        for name in ("side_px", "fill_rgb"):
            values = {getattr(bundle.graphs[graph], name) for graph in together if graph in bundle.graphs}
            if len(values) > 1:
                raise BundleError(
                    f"{bundle.folder / MANIFEST}: {' and '.join(together)} differ in {name} {sorted(values)}: "
                    "export them together"
                )
    _check_features(bundle)
    _check_map_kinds(bundle)
    for name in ("classifier", "score", *(("detector",) if DETECTOR in bundle.graphs else ())):
        values = getattr(bundle.thresholds, name)
        if len(values) != len(bundle.labels) or not all(math.isfinite(value) for value in values):
            raise BundleError(
                f"{bundle.folder / MANIFEST}: thresholds.{name} must be {len(bundle.labels)} finite numbers, "
                f"one for each label, got {len(values)}"
            )
    if bundle.post.mask_source == "detector" and not bundle.detector_masks:
        raise BundleError(
            f"{bundle.folder / MANIFEST}: post.mask_source is 'detector', but no graph detector gives masks: "
            "export one with a mask head, or choose 'proposal' or 'box'"
        )
    for spec in bundle.graphs.values():
        _check_file(bundle.folder / spec.file, spec.sha256)


def _check_features(bundle: Bundle) -> None:
    """Check that `sam_encoder` gives, of one image, what `sam_decoder` takes."""
    if any(graph not in bundle.graphs for graph in SAM_GRAPHS):
        return
    given = {t.name: (t.dtype, t.shape[1:]) for t in bundle.graphs[SAM_ENCODER].outputs}
    taken = {t.name: (t.dtype, t.shape[1:]) for t in bundle.graphs[SAM_DECODER].inputs}
    for name in bundle.decoder_features:
        if given.get(name) != taken[name]:
            raise BundleError(
                f"{bundle.folder / MANIFEST}: sam_decoder takes {name} {taken[name]}, sam_encoder gives "
                f"{given.get(name, 'none')}: export them together"
            )


def _check_map_kinds(bundle: Bundle) -> None:
    where = f"{bundle.folder / MANIFEST}: map_kinds"
    for kind in bundle.map_kinds:
        if not KNOWN_KINDS.fullmatch(kind):
            raise BundleError(f"{where} names {kind!r}, known are coarse, fine and cross_<block>_<head>: export again")
    for tensor in bundle.graphs[CAM].outputs if CAM in bundle.graphs else ():
        if tensor.name == "maps" and tensor.shape[1] != len(bundle.map_kinds):
            raise BundleError(f"{where} names {len(bundle.map_kinds)} kinds, cam has {tensor.shape[1]}: export again")


def _check_file(path: Path, sha256: str) -> None:
    if not path.is_file():
        raise BundleError(f"{path} does not exist: the bundle is incomplete, copy or export it again")
    found = file_sha256(path)
    if found != sha256:
        raise BundleError(f"{path} has sha256 {found}, bundle.json says {sha256}: the file was changed or cut short")
