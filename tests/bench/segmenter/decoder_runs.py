"""How many prompts a run of `sam_decoder` should hold: milliseconds per prompt by size of the run."""

from __future__ import annotations

from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
from rich.progress import track

from models.bundle import Bundle
from models.bundle_files.manifest import load_bundle
from models.image import decode_image
from models.letterbox import Letterbox
from models.prompting.prompts import PromptBatch, grid_points, point_prompts, split_prompts
from tests.bench.bare_loop import BareLoop, Call
from tests.bench.images import draw_scenes

RUN_SIZES = (1, 4, 8, 16, 32)
OUTPUTS = ("boxes", "iou", "stability")
GRID_SIDE = 8


def measure_decoder_runs(bundle_dir: Path, threads: int, rounds: int) -> dict[str, Any]:
    """Decode the same 64 prompts on one image in runs of each size, sizes in turns, `rounds` times."""
    bundle = load_bundle(bundle_dir)
    bare = BareLoop(bundle, threads)
    embedding, valid_hw = _encode_scene(bundle, bare)
    prompts = point_prompts(grid_points(GRID_SIDE, valid_hw))
    calls = {size: _calls(embedding, valid_hw, prompts, size) for size in RUN_SIZES}
    seconds: dict[int, list[float]] = {size: [] for size in RUN_SIZES}
    for _ in track(range(1 + rounds), "decoder runs"):
        for size in RUN_SIZES:
            seconds[size].append(bare.seconds(calls[size]))
    # The first round is the warm-up.
    ms = {size: 1000 * median(found[1:]) / len(prompts) for size, found in seconds.items()}
    return {
        "ms_per_prompt": {str(size): round(value, 4) for size, value in ms.items()},
        "fastest": min(ms, key=lambda size: ms[size]),
        "prompt_buckets": list(bundle.prompts.prompt_buckets["onnxruntime"]),
    }


def _encode_scene(bundle: Bundle, bare: BareLoop) -> tuple[np.ndarray[Any, Any], tuple[int, int]]:
    image = decode_image(draw_scenes(1)[0].data)
    letterbox = Letterbox(image.size_hw, bundle.side_px)
    square = letterbox.apply(image.image_hwc_u8, bundle.graphs["sam_encoder"].fill_rgb)
    (embedding,) = bare.run(Call("sam_encoder", {"image": square[None]}, ("embedding",)))
    return embedding, letterbox.valid_hw


def _calls(
    embedding: np.ndarray[Any, Any], valid_hw: tuple[int, int], prompts: PromptBatch, run_size: int
) -> list[Call]:
    fixed = {"embedding": embedding, "valid_hw": np.array(valid_hw, np.float32)}
    return [
        Call("sam_decoder", {**fixed, "coords": run.coords, "labels": run.labels}, OUTPUTS)
        for run in split_prompts(prompts, (run_size,))
    ]
