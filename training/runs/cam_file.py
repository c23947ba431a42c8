"""Where a trained classifier's weights lie: in a run, or in a bundle."""

from __future__ import annotations

from pathlib import Path

from models.bundle import CAM, MANIFEST
from models.bundle_files.manifest import load_bundle
from models.run_folder import weights_file
from weaksam.errors import UserError


def cam_file(source: Path) -> Path:
    """Return the file with a classifier's weights.

    Args:
        source: the file itself, a folder of `weaksam train cam`, or a bundle.

    Raises:
        UserError: there is none.
    """
    if (source / MANIFEST).is_file():
        return load_bundle(source, (CAM,)).path(CAM)
    path = source / weights_file(CAM) if source.is_dir() else source
    if not path.is_file():
        raise UserError(f"cam: {source} is no finished run of `weaksam train cam` and no bundle")
    return path
