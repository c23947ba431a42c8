"""`python -m deploy.weights.measure FOLDER SIDE_PX`: time and memory of a segmenter's two graphs, as JSON.

A process of its own, without torch: its memory is that of serving.
"""

from __future__ import annotations

import json
import resource
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnxruntime

PROMPTS, PROMPTS_OF_A_RUN = 64, 8
OUTPUTS = ["boxes", "iou", "stability"]


def measure(folder: Path, side_px: int) -> dict[str, float]:
    """Return seconds of one encode and of 64 prompts, on the clock and of all cores together, and the peak memory.

    Args:
        folder: holds ``sam_encoder.onnx`` and ``sam_decoder.onnx``.
        side_px: side of the square input.
    """
    encoder, decoder = (
        onnxruntime.InferenceSession(folder / f"sam_{part}.onnx", providers=["CPUExecutionProvider"])
        for part in ("encoder", "decoder")
    )
    rng = np.random.default_rng(0)
    image = rng.integers(0, 256, (1, side_px, side_px, 3), np.uint8)
    names = [tensor.name for tensor in encoder.get_outputs()]
    features = dict(zip(names, encoder.run(names, {"image": image}), strict=True))  # the first run also allocates
    inputs = features | {
        "coords": (rng.random((PROMPTS_OF_A_RUN, 2, 2)) * side_px).astype(np.float32),
        "labels": np.tile(np.array([1, -1], np.float32), (PROMPTS_OF_A_RUN, 1)),
        "valid_hw": np.array([side_px, side_px], np.float32),
    }
    decoder.run(OUTPUTS, inputs)
    encode_s, encode_cpu_s = _seconds(lambda: encoder.run(names, {"image": image}))
    prompts_s, prompts_cpu_s = _seconds(
        lambda: [decoder.run(OUTPUTS, inputs) for _ in range(PROMPTS // PROMPTS_OF_A_RUN)]
    )
    return {
        "encode_s": encode_s,
        "encode_cpu_s": encode_cpu_s,
        "64_prompts_s": prompts_s,
        "64_prompts_cpu_s": prompts_cpu_s,
        "peak_memory_gb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9, 2),
    }


def _seconds(work: Callable[[], object]) -> tuple[float, float]:
    clock_s, cpu_s = time.perf_counter(), time.process_time()
    work()
    return round(time.perf_counter() - clock_s, 2), round(time.process_time() - cpu_s, 2)


if __name__ == "__main__":
    sys.stdout.write(json.dumps(measure(Path(sys.argv[1]), int(sys.argv[2]))) + "\n")
