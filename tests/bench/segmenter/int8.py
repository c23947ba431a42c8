"""`python -m tests.bench.segmenter.int8`: what integers of 8 bits would save the compact SAM, and cost its masks."""

from __future__ import annotations

import json
import tempfile
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import Annotated, Any

import numpy as np
import numpy.typing as npt
import onnxruntime
import typer
from onnxruntime.quantization import CalibrationDataReader, QuantType, quantize_static
from rich.progress import track

from models.bundle import DEFAULT_BUNDLE, SAM_GRAPHS, Bundle
from models.bundle_files.manifest import load_bundle
from models.image import read_image
from models.letterbox import Letterbox
from models.masks.drawing import mask_box
from models.prompting.prompts import box_prompts
from training.data.open_dataset import open_dataset
from training.data.tagged import TaggedImage
from weaksam.formats.polygons import mask_iou
from weaksam.formats.run_lengths import decode_rle

# Attention multiplies activations with each other; only products with weights have a side that is known beforehand.
OPERATORS = {"sam_encoder": ["Conv"], "sam_decoder": ["MatMul", "Gemm"]}
OUTPUTS = {"sam_encoder": ("embedding",), "sam_decoder": ("boxes", "iou", "stability", "logits")}
BOXES_PER_IMAGE = 8
TIMED_RUNS = 10

Arrays = dict[str, npt.NDArray[Any]]


def main(
    data: Annotated[Path, typer.Option(help="Data set with masks: calibrated on `train`, measured on `val`.")],
    json_out: Annotated[Path, typer.Option("--json", help="Where to write the report.")] = Path("out/int8.json"),
    bundle: Annotated[Path, typer.Option(help="Bundle with a compact SAM.")] = DEFAULT_BUNDLE,
    calibration_images: Annotated[int, typer.Option(min=1, help="Images to calibrate on.")] = 40,
    images: Annotated[int, typer.Option(min=1, help="Images to measure.")] = 100,
    threads: Annotated[int, typer.Option(min=1, help="Threads within one operator.")] = 1,
) -> None:
    """Quantise encoder and decoder, each by itself; mIoU from true boxes and milliseconds of each."""
    loaded = load_bundle(bundle, SAM_GRAPHS)
    chosen = _spread(open_dataset(data, "val").images, images)
    report: dict[str, Any] = {"bundle": loaded.version, "images": len(chosen), "threads": threads}
    with tempfile.TemporaryDirectory() as folder:
        whole = {graph: loaded.path(graph) for graph in SAM_GRAPHS}
        inputs = _calibration(loaded, _spread(open_dataset(data, "train").images, calibration_images), threads)
        small = {graph: _quantised(whole[graph], graph, inputs[graph], Path(folder)) for graph in SAM_GRAPHS}
        ways = {"fp32": whole} | {f"{graph}_int8": whole | {graph: small[graph]} for graph in SAM_GRAPHS}
        for way, files in ways.items():
            sessions = {graph: _session(path, threads) for graph, path in files.items()}
            report[way] = {
                "box_miou": round(_miou(loaded, sessions, chosen), 4),
                **{f"{graph}_ms": round(_milliseconds(sessions[graph], graph, inputs[graph][0]), 2) for graph in files},
                **{f"{graph}_bytes": path.stat().st_size for graph, path in files.items()},
            }
    json_out.parent.mkdir(parents=True, exist_ok=True)
    json_out.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    print(json.dumps(report, indent=1))


class _Inputs(CalibrationDataReader):  # type: ignore[misc]
    """Hands inputs to onnxruntime's calibration one after the other."""

    def __init__(self, inputs: Iterable[Arrays]) -> None:
        self._inputs = iter(inputs)

    def get_next(self) -> Arrays | None:
        return next(self._inputs, None)


def _quantised(path: Path, graph: str, inputs: Sequence[Arrays], folder: Path) -> Path:
    """Return the file of a graph whose operators with weights work on integers."""
    folded, small = folder / f"{graph}_folded.onnx", folder / f"{graph}_int8.onnx"
    # Weights are stored in half precision with a cast behind them, which must be folded before they can be counted.
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC
    options.optimized_model_filepath = str(folded)
    onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    quantize_static(
        folded,
        small,
        _Inputs(inputs),
        op_types_to_quantize=OPERATORS[graph],
        per_channel=graph == "sam_encoder",
        activation_type=QuantType.QUInt8,
        weight_type=QuantType.QInt8,
        extra_options={"MatMulConstBOnly": True},
    )
    return small


def _calibration(bundle: Bundle, images: Sequence[TaggedImage], threads: int) -> dict[str, list[Arrays]]:
    """Return inputs of both graphs: the images, and prompts of their objects' boxes."""
    encoder = _session(bundle.path("sam_encoder"), threads)
    inputs: dict[str, list[Arrays]] = {graph: [] for graph in SAM_GRAPHS}
    for image in images:
        square = {"image": _square(bundle, image)}
        inputs["sam_encoder"].append(square)
        inputs["sam_decoder"].append(_decoder_inputs(bundle, encoder, image, square, _masks(image)))
    return inputs


def _miou(bundle: Bundle, sessions: Mapping[str, onnxruntime.InferenceSession], images: Sequence[TaggedImage]) -> float:
    """Mean IoU of the masks ranked first, from true boxes, over at most so many objects of each image."""
    ious = []
    for image in track(images, "int8"):
        masks = _masks(image)
        square = {"image": _square(bundle, image)}
        asked = _decoder_inputs(bundle, sessions["sam_encoder"], image, square, masks)
        iou, logits = sessions["sam_decoder"].run(["iou", "logits"], asked)
        letterbox = Letterbox(image.size_hw, bundle.side_px)
        ious += [
            mask_iou(letterbox.mask_to_image(levels[int(predicted.argmax())]), mask)
            for levels, predicted, mask in zip(logits, iou, masks, strict=True)
        ]
    return float(np.mean(ious))


def _decoder_inputs(
    bundle: Bundle,
    encoder: onnxruntime.InferenceSession,
    image: TaggedImage,
    square: Arrays,
    masks: Sequence[npt.NDArray[np.bool_]],
) -> Arrays:
    letterbox = Letterbox(image.size_hw, bundle.side_px)
    prompts = box_prompts(letterbox.boxes_to_input(np.stack([mask_box(mask) for mask in masks])))
    (embedding,) = encoder.run(["embedding"], square)
    valid_hw = np.array(letterbox.valid_hw, np.float32)
    return {"embedding": embedding, "coords": prompts.coords, "labels": prompts.labels, "valid_hw": valid_hw}


def _masks(image: TaggedImage) -> list[npt.NDArray[np.bool_]]:
    encoded = [thing.mask_rle for thing in image.objects if thing.mask_rle is not None]
    return [decode_rle(rle) for rle in encoded[:: max(1, len(encoded) // BOXES_PER_IMAGE)][:BOXES_PER_IMAGE]]


def _square(bundle: Bundle, image: TaggedImage) -> npt.NDArray[np.uint8]:
    letterbox = Letterbox(image.size_hw, bundle.side_px)
    return letterbox.apply(read_image(image.path), bundle.graphs["sam_encoder"].fill_rgb)[None]


def _milliseconds(session: onnxruntime.InferenceSession, graph: str, inputs: Arrays) -> float:
    seconds = []
    for _ in range(1 + TIMED_RUNS):
        started_s = time.perf_counter()
        session.run(list(OUTPUTS[graph]), inputs)
        seconds.append(time.perf_counter() - started_s)
    return 1000 * median(seconds[1:])  # the first is the warm-up


def _session(path: Path, threads: int) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])


def _spread(images: Sequence[TaggedImage], count: int) -> list[TaggedImage]:
    masked = [image for image in images if any(thing.mask_rle is not None for thing in image.objects)]
    return [masked[index] for index in np.linspace(0, len(masked) - 1, min(count, len(masked))).round().astype(int)]


if __name__ == "__main__":
    typer.run(main)
