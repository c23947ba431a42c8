"""The service's results for test images on disk: an evaluation continues from them, the report shows them."""

from __future__ import annotations

import gzip
import hashlib
import json
from pathlib import Path
from typing import Any

from weaksam.files.atomic import replacing_bytes
from weaksam.files.damaged import naming_damage

Json = dict[str, Any]


def results_path(results_dir: Path, image_id: str) -> Path:
    """Return the path of one image's results."""
    return results_dir / f"{hashlib.sha256(image_id.encode()).hexdigest()[:24]}.json.gz"


def read_results(path: Path) -> Json:
    """Return results as `POST /detect` gives them, by the fields of `training.evaluation.evaluate.ServedResults`.

    Raises:
        UserError: the file is damaged.
    """
    with naming_damage(path):
        results: Json = json.loads(gzip.decompress(path.read_bytes()))
    return results


def read_tagged(results_dir: Path, image_id: str) -> Json:
    """Return one image's result with its tags given, of all candidates; ``shown`` of each says if it is returned."""
    results = read_results(results_path(results_dir, image_id))
    returned = {row["id"] for row in results["returned"]["detections"]}
    tagged: Json = results["tagged"]
    for row in tagged["detections"]:
        row["shown"] = row["id"] in returned
    return tagged


def write_results(results: Json, path: Path) -> None:
    """Write the file as a whole: a kill leaves no half of it."""
    with replacing_bytes(path) as file:
        file.write(gzip.compress(json.dumps(results).encode(), mtime=0))
