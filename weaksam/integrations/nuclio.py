"""nuclio functions for CVAT's AI tools: what CVAT needs to know of a service, and a function that calls it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

SOURCE = Path(__file__).with_name("nuclio_function.py")
# An image in base64; the service has a limit of its own.
MAX_BODY_BYTES = 2**26


def write_functions(server: str, labels: Sequence[str], out: Path) -> None:
    """Write the folders `detector` and `interactor`, each for `nuctl deploy --path`.

    Args:
        server: address of the service, as nuclio's containers reach it.
        labels: names of the service's labels.
        out: folder that may exist.
    """
    spec = [{"id": id_, "name": name, "type": "mask"} for id_, name in enumerate(labels)]
    detector = {"name": "WeakSAM", "type": "detector", "spec": json.dumps(spec)}
    interactor = {
        "name": "WeakSAM segmenter",
        "type": "interactor",
        "version": "2",
        "spec": "",
        "min_pos_points": "1",
        "min_neg_points": "0",
        "startswith_box_optional": "true",
        "help_message": "Click on the object, or draw a box around it; exclude what is too much.",
    }
    for notes in (detector, interactor):
        kind = notes["type"]
        folder = out / kind
        folder.mkdir(parents=True, exist_ok=True)
        function = _function(f"weaksam-{kind}", notes, f"{server.rstrip('/')}/cvat/{kind}")
        (folder / "function.yaml").write_text(yaml.safe_dump(function, sort_keys=False), encoding="utf-8")
        (folder / "main.py").write_text(SOURCE.read_text(encoding="utf-8"), encoding="utf-8")


def _function(name: str, annotations: dict[str, str], url: str) -> dict[str, Any]:
    trigger = {"kind": "http", "maxWorkers": 4, "attributes": {"maxRequestBodySize": MAX_BODY_BYTES}}
    return {
        "metadata": {"name": name, "namespace": "cvat", "annotations": annotations},
        "spec": {
            "description": "Boxes and masks from a WeakSAM service",
            "runtime": "python:3.11",
            "handler": "main:handler",
            "eventTimeout": "60s",
            "env": [{"name": "WEAKSAM_FUNCTION_URL", "value": url}],
            "triggers": {"http": trigger},
        },
    }
