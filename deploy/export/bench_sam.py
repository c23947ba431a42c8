"""Time and memory of a published segmenter on this machine, from random weights: nothing is downloaded."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from deploy.export.graph_plans import sam_decoder_plan, sam_encoder_plan
from deploy.export.onnx_graph import export_graph
from models.nets.published_sam.open_published import untrained


def bench_sam(kind: str, side_px: int | None) -> dict[str, float]:
    """Export an untrained network of a kind and measure its graphs in a process of their own.

    Args:
        kind: as `models.nets.published_sam.open_published.PublishedSam` has it.
        side_px: side of the input; None: the published one.

    Returns:
        What `deploy.weights.measure.measure` returns, with the side and the size of the files.
    """
    with TemporaryDirectory() as folder:
        side_px = _export(kind, side_px, Path(folder))
        command = [sys.executable, "-m", "deploy.weights.measure", folder, str(side_px)]
        ended = subprocess.run(command, check=True, capture_output=True, text=True)  # noqa: S603  # of ours alone
        size_bytes = sum(path.stat().st_size for path in Path(folder).glob("*.onnx"))
    measured: dict[str, float] = json.loads(ended.stdout)
    return {"side_px": side_px, **measured, "graphs_mb": round(size_bytes / 1e6, 1)}


def _export(kind: str, side_px: int | None, folder: Path) -> int:
    """Write both graphs, unchecked: a published checkpoint's are compared with torch when they are exported."""
    net, rng = untrained(kind, side_px), np.random.default_rng(0)
    for plan in (sam_encoder_plan(net, rng), sam_decoder_plan(net, rng)):
        export_graph(replace(plan, checks=()), folder, net.side_px)
    return net.side_px
