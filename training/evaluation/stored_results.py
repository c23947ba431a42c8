"""The service's results for test images on disk: an evaluation continues from them, the report shows them."""

from __future__ import annotations

import gzip
import hashlib
import json
from pathlib import Path
from typing import Any

from weaksam.files.atomic import replacing_bytes

Json = dict[str, Any]


def results_path(results_dir: Path, image_id: str) -> Path:
    """Return the path of one image's results."""
    return results_dir / f"{hashlib.sha256(image_id.encode()).hexdigest()[:24]}.json.gz"


def read_results(path: Path) -> Json:
    """Return results by the way of asking: ``tagged`` and ``predicted``, each as `POST /detect` gives it."""
    results: Json = json.loads(gzip.decompress(path.read_bytes()))
    return results


def write_results(results: Json, path: Path) -> None:
    """Write the file as a whole: a kill leaves no half of it."""
    with replacing_bytes(path) as file:
        file.write(gzip.compress(json.dumps(results).encode(), mtime=0))
