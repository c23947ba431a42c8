"""The benchmarks' results as tables."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from rich.table import Table

MAX_DETECT_RATIO = 1.10
MIN_PROPOSAL_SPEEDUP = 6.0
MAX_RECALL_LOSS = 0.01
MAX_TRITON_RATIO = 1.25
MAX_MEMORY_GROWTH = 0.05


def tables(report: dict[str, Any]) -> Iterator[Table]:
    """Yield one table of ratios with their targets, then the figures behind them."""
    yield _targets(report)
    if "detect" in report:
        yield _pairs("POST /detect, medians", "stage", report["detect"]["stage_p50_ms"])
    if "capacity" in report:
        found = report["capacity"]
        yield _pairs("An image, means", "of", {"processor time": found["cpu_ms"], **found["stage_ms"]})
    if "triton" in report:
        yield _pairs("POST /detect with Triton, medians", "way", report["triton"]["p50_ms"])
        yield _pairs("One embedding to Triton, medians", "way", report["triton"]["transfer"]["p50_ms"])
    if "throughput" in report:
        yield _services(report["throughput"])
    if "overload" in report:
        yield _overload(report["overload"])
    if "proposals" in report:
        yield _recall(report["proposals"]["by_data"])
    if "decoder_runs" in report:
        yield _pairs("sam_decoder, time of one prompt", "prompts in a run", report["decoder_runs"]["ms_per_prompt"])


def _services(throughput: dict[str, Any]) -> Table:
    figures = ("per_s", "own_rate_to_this", "p50_ms", "p95_ms")
    table = Table("service", *figures, title=f"POST /detect, {throughput['clients']} clients at once")
    for name, found in throughput["services"].items():
        table.add_row(name, *(f"{found[figure]:g}" for figure in figures))
    return table


def _targets(report: dict[str, Any]) -> Table:
    table = Table("ratio", "measured", "target", "", title="Speed, in one run on this machine")
    for name, measured, target, met in _judged(report):
        table.add_row(name, measured, target, "[green]met" if met else "[red]missed")
    return table


def _judged(report: dict[str, Any]) -> Iterator[tuple[str, str, str, bool]]:
    if "detect" in report:
        ratio = report["detect"]["detect_p50_ratio"]
        yield "detect_p50_ratio", f"{ratio:.3f}", f"<= {MAX_DETECT_RATIO:.2f}", ratio <= MAX_DETECT_RATIO
    if "proposals" in report:
        speedup, loss = report["proposals"]["proposal_speedup"], max_recall_loss(report["proposals"])
        yield "proposal_speedup", f"{speedup:.1f}", f">= {MIN_PROPOSAL_SPEEDUP:g}", speedup >= MIN_PROPOSAL_SPEEDUP
        yield "its largest loss of recall", f"{loss:.4f}", f"<= {MAX_RECALL_LOSS:g}", loss <= MAX_RECALL_LOSS
    if "triton" in report:
        ratio = report["triton"]["triton_p50_ratio"]
        yield "triton_p50_ratio", f"{ratio:.3f}", f"<= {MAX_TRITON_RATIO:.2f}", ratio <= MAX_TRITON_RATIO
    if "overload" in report:
        growth, statuses = report["overload"]["memory_growth"], report["overload"]["statuses"]
        yield (
            "memory growth at twice the capacity",
            f"{growth:.3f}",
            f"< {MAX_MEMORY_GROWTH:g}",
            growth < MAX_MEMORY_GROWTH,
        )
        shown = ", ".join(f"{status} {count}" for status, count in statuses.items())
        yield "responses at twice the capacity", shown, "200 and 503", set(statuses) == {"200", "503"}
    if "repeat" in report:
        encodes = report["repeat"]["repeat_encodes"]
        shown = ", ".join(f"{name} {runs}" for name, runs in encodes.items())
        yield "repeat_encodes", shown, "0", not any(encodes.values())


def max_recall_loss(proposals: dict[str, Any]) -> float:
    """Return the largest loss of recall against the reference, over data sets and IoU thresholds."""
    losses: list[float] = [
        found["reference"]["recall"][key] - recall
        for found in proposals["by_data"].values()
        for key, recall in found["ours"]["recall"].items()
    ]
    return max(losses)


def _pairs(title: str, of: str, values: dict[str, float]) -> Table:
    table = Table(of, "ms", title=title)
    for name, value in values.items():
        table.add_row(name, f"{value:.2f}")
    return table


def _overload(found: dict[str, Any]) -> Table:
    table = Table("requests", "p50 ms", "p95 ms", "p99 ms", title=f"{found['minutes']} minutes at twice the capacity")
    for name in ("full_queue", "completed", "refused"):
        table.add_row(name.replace("_", " "), *(f"{value:.1f}" for value in found[f"{name}_ms"].values()))
    return table


def _recall(by_data: dict[str, Any]) -> Table:
    thresholds = list(next(iter(by_data.values()))["ours"]["recall"])
    table = Table("data", "way", "p50 ms", "proposals", *(f"recall {key}" for key in thresholds), title="Proposals")
    for name, found in by_data.items():
        for way in ("ours", "reference"):
            side = found[way]
            recall = (f"{side['recall'][key]:.3f}" for key in thresholds)
            table.add_row(name, way, f"{side['p50_ms']:.0f}", f"{side['proposals_per_image']:.0f}", *recall)
    return table
