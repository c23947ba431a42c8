"""A compact SAM is measured with the settings that it is served with."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from models.bundle import DEFAULT_BUNDLE, MANIFEST
from models.settings import PostSettings
from training.sam.answers import open_asked_sam


@pytest.mark.parametrize("colour_weight", [None, 0.0, 0.3])
def test_the_bundle_says_how_much_colours_weigh(tmp_path: Path, colour_weight: float | None) -> None:
    folder = shutil.copytree(DEFAULT_BUNDLE, tmp_path / "bundle")
    manifest = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
    if colour_weight is not None:
        manifest["post"]["colour_weight"] = colour_weight
    (folder / MANIFEST).write_text(json.dumps(manifest), encoding="utf-8")
    expected = PostSettings().colour_weight if colour_weight is None else colour_weight
    assert open_asked_sam(folder, zoom=False).colour_weight == expected
