"""The report's diagrams, drawn by matplotlib as PNG."""

from __future__ import annotations

import io
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

LogRow = dict[str, Any]
SMOOTHED_STEPS = 25


def read_log(path: Path) -> list[LogRow]:
    """Return a training's rows in the order of their steps; of a step that a resumed run took twice, the later row."""
    lines = path.read_text(encoding="utf-8").splitlines() if path.is_file() else []
    rows = {row["step"]: row for row in map(json.loads, lines) if "step" in row}
    return [rows[step] for step in sorted(rows)]


def loss_curves(rows: Sequence[LogRow]) -> bytes:
    """Plot every loss over the steps, on a logarithmic axis, each row faint and their running mean in full."""
    figure, axes = _figure()
    for name in sorted({name for row in rows for name in row if name.startswith("loss_")}):
        known = [(row["step"], row[name]) for row in rows if isinstance(row.get(name), int | float) and row[name] > 0]
        if not known:
            continue
        steps, values = np.array(known, np.float64).T
        (faint,) = axes.plot(steps, values, ".-", alpha=0.25, linewidth=0.8)
        axes.plot(steps, _running_mean(values), color=faint.get_color(), label=name.removeprefix("loss_"))
    axes.set(xlabel="step", ylabel="loss", yscale="log")
    figure.legend(loc="outside right center", fontsize=8)
    return _png(figure)


def loss_against_error(rows: Sequence[LogRow]) -> bytes:
    """Plot WeakSAM's figure 3 (arXiv 2402.14812): foreground RoIs and share of wrong ones by normalised loss.

    ``rows`` are a detector's log with the histograms of `training.detector.drop_log.drop_figures`, added up over all
    steps.
    """
    rois, judged, wrong = (_total(rows, name) for name in ("rois_by_loss", "judged_by_loss", "wrong_by_loss"))
    figure, axes = _figure()
    centres = (np.arange(len(rois)) + 0.5) / len(rois)
    axes.bar(centres, rois, width=0.8 / len(rois), color="#9db7d5", label="foreground RoIs")
    axes.set(xlabel="normalised loss", ylabel="foreground RoIs", yscale="log")
    error = axes.twinx()
    known = judged > 0
    error.plot(centres[known], wrong[known] / judged[known], "o-", color="#b3372b", label="error rate")
    error.set(ylabel="error rate", ylim=(0, 1.02))
    figure.legend(loc="outside upper center", ncols=2, fontsize=8)
    return _png(figure)


def dropped_by_step(rows: Sequence[LogRow]) -> bytes:
    """Plot how many foreground RoIs each step dropped, and what share of dropped and of kept ones was wrong."""
    steps = np.array([row["step"] for row in rows], np.float64)
    figure, axes = _figure()
    axes.plot(steps, _running_mean(_column(rows, "dropped")), color="#6b8fb8", label="dropped RoIs")
    axes.set(xlabel="step", ylabel="dropped RoIs in a step")
    error = axes.twinx()
    for kind, colour in (("dropped", "#b3372b"), ("kept", "#3c7a47")):
        judged, wrong = (_running_mean(_column(rows, f"{what}_{kind}")) for what in ("judged", "wrong"))
        share = np.divide(wrong, judged, out=np.full_like(wrong, np.nan), where=judged > 0)
        error.plot(steps, share, color=colour, label=f"error rate of {kind} RoIs")
    error.set(ylabel="error rate", ylim=(0, 1.02))
    figure.legend(loc="outside upper center", ncols=3, fontsize=8)
    return _png(figure)


def _figure() -> tuple[Figure, Any]:
    # Without pyplot: it keeps figures open, and looks for a display.
    figure = Figure(figsize=(6.4, 3.4), dpi=110, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    axes.grid(alpha=0.25)
    return figure, axes


def _png(figure: Figure) -> bytes:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png")
    return buffer.getvalue()


def _running_mean(values: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Return the mean over up to SMOOTHED_STEPS rows before and with each."""
    sums = np.concatenate([[0.0], np.cumsum(values)])
    ends = np.arange(1, len(values) + 1)
    starts = np.maximum(0, ends - SMOOTHED_STEPS)
    mean: npt.NDArray[np.float64] = (sums[ends] - sums[starts]) / (ends - starts)
    return mean


def _column(rows: Sequence[Mapping[str, Any]], name: str) -> npt.NDArray[np.float64]:
    return np.array([row[name] for row in rows], np.float64)


def _total(rows: Sequence[Mapping[str, Any]], name: str) -> npt.NDArray[np.float64]:
    total: npt.NDArray[np.float64] = np.sum([row[name] for row in rows], axis=0, dtype=np.float64)
    return total
