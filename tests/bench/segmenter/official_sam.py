"""`python -m tests.bench.segmenter.official_sam`: an official-size SAM, exported and served once; time and memory."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import httpx
import torch
import typer
from segment_anything import sam_model_registry

from models.bundle import DEFAULT_BUNDLE
from models.bundle_files.manifest import load_bundle
from tests.bench.images import draw_scenes
from tests.support.segmenters.official_sam import write_random_runs

REPOSITORY = Path(__file__).resolve().parents[3]
START_TIMEOUT_S = 1800.0


def main(
    out: Annotated[Path, typer.Option(help="Folder for checkpoint, bundle and report; gigabytes.")],
    checkpoint: Annotated[
        Path | None, typer.Option(help="Official checkpoint; without it, random weights saved in the same format.")
    ] = None,
    kind: Annotated[str, typer.Option(help="Network of the random weights: vit_b, vit_l or vit_h.")] = "vit_b",
    override: Annotated[list[str] | None, typer.Option("--set", help="key=value for `weaksam export`.")] = None,
) -> None:
    """Export the checkpoint with a random classifier and detector, serve the bundle, send one image, report."""
    out.mkdir(parents=True, exist_ok=True)
    path = checkpoint or _random_checkpoint(kind, out / f"{kind}.pth")
    default = load_bundle(DEFAULT_BUNDLE)
    cam, wsod = write_random_runs(out, default.labels, default.graphs["cam"].side_px)
    command = ["export", "--sam", str(path), "--cam", str(cam), "--wsod", str(wsod), "--out", str(out / "bundle")]
    command += ["--config", "deploy/configs/default.toml", *(f"--set={text}" for text in override or ())]
    report: dict[str, Any] = {"checkpoint": path.name, "set": override or [], "export": _measured(command)}
    bundle = load_bundle(out / "bundle")
    report["max_abs_difference"] = {name: dict(spec.max_abs_difference) for name, spec in bundle.graphs.items()}
    report["file_mb"] = {name: round(bundle.path(name).stat().st_size / 1e6, 1) for name in bundle.graphs}
    report |= _served_once(out / "bundle")
    (out / "report.json").write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    print(json.dumps(report, indent=1))


def _random_checkpoint(kind: str, path: Path) -> Path:
    if not path.is_file():
        torch.save(sam_model_registry[kind]().state_dict(), path)
    return path


def _measured(arguments: list[str]) -> dict[str, float]:
    """Run `weaksam` with the arguments to its end; return wall and CPU seconds and peak memory."""
    started_s = time.perf_counter()
    process = subprocess.Popen([sys.executable, "-m", "weaksam", *arguments], cwd=REPOSITORY)
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        raise SystemExit(f"weaksam {arguments[0]} ended with {os.waitstatus_to_exitcode(status)}")
    return {"wall_s": round(time.perf_counter() - started_s, 1), **_cpu_and_memory(usage)}


def _served_once(bundle: Path) -> dict[str, Any]:
    port = 8765
    command = ["serve", "--bundle", str(bundle), "--port", str(port), "--deadline-s", "3600", "--workers", "1"]
    started_s = time.perf_counter()
    process = subprocess.Popen([sys.executable, "-m", "weaksam", *command], cwd=REPOSITORY)
    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=3600) as client:
            _wait_until_ready(client, process)
            ready_s = time.perf_counter() - started_s
            result = _post(client)
    finally:
        process.terminate()
        _, _, usage = os.wait4(process.pid, 0)
    return {
        "serve": {"ready_s": round(ready_s, 1), **_cpu_and_memory(usage)},
        "result": {
            "timing_ms": result["timing_ms"],
            "detections": len(result["detections"]),
            "proposals": len(result["explain"]["proposals"]),
        },
    }


def _post(client: httpx.Client) -> Mapping[str, Any]:
    sample = draw_scenes(1)[0]
    fields = {"tags": ",".join(sample.tags), "unknown_tags": "skip", "explain": "true", "min_score": "0"}
    response = client.post("/detect", files={"image": ("image.jpg", sample.data, "image/jpeg")}, data=fields)
    response.raise_for_status()
    result: dict[str, Any] = response.json()
    return result


def _wait_until_ready(client: httpx.Client, process: subprocess.Popen[bytes]) -> None:
    give_up_s = time.monotonic() + START_TIMEOUT_S
    while time.monotonic() < give_up_s:
        try:
            if client.get("/readyz").is_success:
                return
        except httpx.TransportError:
            pass
        # Not waited for: its usage is read once, when it has been stopped.
        if os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT):
            break
        time.sleep(0.5)
    raise SystemExit("the server did not become ready")


def _cpu_and_memory(usage: Any) -> dict[str, float]:
    return {
        "cpu_s": round(usage.ru_utime + usage.ru_stime, 1),
        "peak_memory_gb": round(usage.ru_maxrss * 1024 / 1e9, 2),
    }


if __name__ == "__main__":
    typer.run(main)
