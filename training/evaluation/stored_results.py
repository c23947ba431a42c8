"""The service's answers to a test picture on disk: an evaluation goes on from them, the report shows them."""

from __future__ import annotations

import gzip
import hashlib
import json
from pathlib import Path
from typing import Any

from weaksam.files.atomic import replacing_bytes

Json = dict[str, Any]


def answers_path(answers_dir: Path, image_id: str) -> Path:
    """Where the answers to one picture of a data set lie."""
    return answers_dir / f"{hashlib.sha256(image_id.encode()).hexdigest()[:24]}.json.gz"


def read_answers(path: Path) -> Json:
    """Answers by the way of asking: ``tagged`` and ``predicted``, each as `POST /detect` gives it."""
    answers: Json = json.loads(gzip.decompress(path.read_bytes()))
    return answers


def write_answers(answers: Json, path: Path) -> None:
    """A kill leaves no half-written file."""
    with replacing_bytes(path) as file:
        file.write(gzip.compress(json.dumps(answers).encode(), mtime=0))
