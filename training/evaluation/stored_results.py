"""The service's results for test images on disk: an evaluation continues from them, the report shows them."""

from __future__ import annotations

import gzip
import hashlib
import json
from pathlib import Path
from typing import Any

from models.bundle import Bundle
from weaksam.files.atomic import replacing_bytes

Json = dict[str, Any]


def results_path(results_dir: Path, image_id: str) -> Path:
    """Return the path of one image's results."""
    return results_dir / f"{hashlib.sha256(image_id.encode()).hexdigest()[:24]}.json.gz"


def read_results(path: Path) -> Json:
    """Return results by the way of asking: ``tagged`` and ``predicted``, each as `POST /detect` gives it."""
    results: Json = json.loads(gzip.decompress(path.read_bytes()))
    return results


def read_tagged(results_dir: Path, image_id: str) -> Json:
    """Return one image's result with its tags given."""
    tagged: Json = read_results(results_path(results_dir, image_id))["tagged"]
    return tagged


def write_results(results: Json, path: Path) -> None:
    """Write the file as a whole: a kill leaves no half of it."""
    with replacing_bytes(path) as file:
        file.write(gzip.compress(json.dumps(results).encode(), mtime=0))


def is_shown(row: Json, bundle: Bundle) -> bool:
    """Return whether a detection reaches the bundle's threshold of its label, which is another for each model."""
    index = bundle.labels.index(row["label"])
    of_detector = bundle.thresholds.detector if row["source"] == "detector" else ()
    return index is not None and row["score"] >= (of_detector or bundle.thresholds.score)[index]
