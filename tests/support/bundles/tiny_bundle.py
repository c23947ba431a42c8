"""A bundle of a few kB whose graphs do by arithmetic what trained ones do by learning.

Labels are colours: a pixel speaks for `red-bolt`, `green-nut` or `blue-wrench` as far as its red, green or blue channel
exceeds the sum of the other two, so that grey speaks for nothing.

    cam          scores: strongest 8 px cell of each colour; maps: these cells
    sam_encoder  the evidence in cells of 4 px, three quarters of it in one output and the rest in another
    sam_decoder  level 0: connected cells over `INK_LEAST` under the prompt; levels 1 and 2: grown by 1 and 2 cells
    wsod         mean evidence inside the box, 1 for a tight box around a pure colour; no deltas
    detector     optional: one box around all ink of a colour whose strongest pixel has over `DETECTOR_LEAST`, its mask
                 the whole box; it has never learnt blue
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnx
import onnx.parser
from PIL import Image

from models.bundle import Bundle, GraphSpec, TensorSpec, Thresholds
from models.bundle_files.manifest import load_bundle, write_manifest
from models.labels import Label, LabelSet
from models.settings import PostSettings, PromptSettings
from weaksam.files.digests import file_sha256

SIDE_PX = 64
FILL_RGB = (124, 116, 104)
LABELS = LabelSet((Label("red-bolt", ("rivet",)), Label("green-nut"), Label("blue-wrench")))
INK_LEAST = 0.45
CLASSIFIER_LEAST, SCORE_LEAST = 0.3, 0.8
DETECTOR_LEAST, DETECTOR_SCORE_LEAST = 0.5, 0.7
FLOOD_STEPS = 24
Patch = tuple[Sequence[int], Sequence[int]]
ELEMENT_NAMES = {1: "float32", 2: "uint8", 7: "int64", 10: "float16"}

EVIDENCE = """
    pixels = Cast <to=1> (image)
    shares = Div (pixels, full)
    shares_chw = Transpose <perm=[0,3,1,2]> (shares)
    signed = Conv (shares_chw, against)
    evidence = Relu (signed)
"""
EVIDENCE_CONSTANTS = "float full = {255.0}, float[3,3,1,1] against = {1.0,-1.0,-1.0, -1.0,1.0,-1.0, -1.0,-1.0,1.0}"

CAM = f"""
cam (uint8[B,64,64,3] image) => (float[B,3] scores, float[B,1,3,8,8] maps)
<{EVIDENCE_CONSTANTS}, int64[1] one = {{1}}>
{{
    {EVIDENCE}
    cells = AveragePool <kernel_shape=[8,8], strides=[8,8]> (evidence)
    scores = ReduceMax <axes=[2,3], keepdims=0> (cells)
    maps = Unsqueeze (cells, one)
}}
"""

SAM_ENCODER = f"""
sam_encoder (uint8[B,64,64,3] image) => (float[B,3,16,16] embedding, float[B,3,16,16] rest)
<{EVIDENCE_CONSTANTS}, float share = {{0.75}}>
{{
    {EVIDENCE}
    cells = AveragePool <kernel_shape=[4,4], strides=[4,4]> (evidence)
    embedding = Mul (cells, share)
    rest = Sub (cells, embedding)
}}
"""

GROW = "MaxPool <kernel_shape=[3,3], pads=[1,1,1,1]>"


def _floats(values: npt.ArrayLike) -> str:
    return "{" + ",".join(str(float(value)) for value in np.ravel(values)) + "}"


def _flood() -> str:
    steps = [f"grown_{i} = {GROW} (flood_{i})\n    flood_{i + 1} = Mul (grown_{i}, inked)" for i in range(FLOOD_STEPS)]
    return "\n    ".join(steps)


SAM_DECODER = f"""
sam_decoder (float[1,3,16,16] embedding, float[1,3,16,16] rest, float[P,N,2] coords, float[P,N] labels,
             float[2] valid_hw)
    => (float[P,3,4] boxes, float[P,3] iou, float[P,3] stability, float16[P,3,64,64] logits)
<float ink_least = {{{INK_LEAST}}}, float zero = {{0.0}}, float one = {{1.0}}, float two = {{2.0}},
 float three = {{3.0}}, float far = {{64.0}}, float span = {{16.0}}, float offset = {{8.0}}, float shown = {{0.99}},
 float[16] starts = {_floats(np.arange(16) * 4)}, float[16] ends = {_floats(np.arange(1, 17) * 4)},
 float[16] centres = {_floats(np.arange(16) * 4 + 2)}, float[64,16] repeat = {_floats(np.eye(16).repeat(4, axis=0))},
 float[3] iou_of_level = {{0.95,0.7,0.5}},
 int64 at_x = {{0}}, int64 at_y = {{1}}, int64[1] axis_1 = {{1}}, int64[1] last = {{-1}}>
{{
    evidence = Add (embedding, rest)
    is_ink = Greater (evidence, ink_least)
    inked = Cast <to=1> (is_ink)
    x = Gather <axis=2> (coords, at_x)
    y = Gather <axis=2> (coords, at_y)
    x_cell = Unsqueeze (x, last)
    y_cell = Unsqueeze (y, last)
    x_from = GreaterOrEqual (x_cell, starts)
    x_to = Less (x_cell, ends)
    x_in = And (x_from, x_to)
    x_hit = Cast <to=1> (x_in)
    y_from = GreaterOrEqual (y_cell, starts)
    y_to = Less (y_cell, ends)
    y_in = And (y_from, y_to)
    y_hit = Cast <to=1> (y_in)
    is_point = Equal (labels, one)
    point = Cast <to=1> (is_point)
    points_hit = Einsum <equation="pnh,pnw,pn->phw"> (y_hit, x_hit, point)
    is_first = Equal (labels, two)
    first = Cast <to=1> (is_first)
    is_second = Equal (labels, three)
    second = Cast <to=1> (is_second)
    first_xy = Einsum <equation="pn,pnc->pc"> (first, coords)
    second_xy = Einsum <equation="pn,pnc->pc"> (second, coords)
    box_x0_flat = Gather <axis=1> (first_xy, at_x)
    box_y0_flat = Gather <axis=1> (first_xy, at_y)
    box_x1_flat = Gather <axis=1> (second_xy, at_x)
    box_y1_flat = Gather <axis=1> (second_xy, at_y)
    box_x0 = Unsqueeze (box_x0_flat, last)
    box_y0 = Unsqueeze (box_y0_flat, last)
    box_x1 = Unsqueeze (box_x1_flat, last)
    box_y1 = Unsqueeze (box_y1_flat, last)
    right_of = GreaterOrEqual (centres, box_x0)
    left_of = Less (centres, box_x1)
    box_columns = And (right_of, left_of)
    below = GreaterOrEqual (centres, box_y0)
    above = Less (centres, box_y1)
    box_rows = And (below, above)
    box_columns_f = Cast <to=1> (box_columns)
    box_rows_f = Cast <to=1> (box_rows)
    box_hit = Einsum <equation="ph,pw->phw"> (box_rows_f, box_columns_f)
    any_hit = Add (points_hit, box_hit)
    seed_hw = Min (any_hit, one)
    seed = Unsqueeze (seed_hw, axis_1)
    flood_0 = Mul (seed, inked)
    {_flood()}
    level_0 = ReduceMax <axes=[1], keepdims=1> (flood_{FLOOD_STEPS})
    level_1 = {GROW} (level_0)
    level_2 = {GROW} (level_1)
    levels = Concat <axis=1> (level_0, level_1, level_2)
    valid_h = Gather <axis=0> (valid_hw, at_x)
    valid_w = Gather <axis=0> (valid_hw, at_y)
    is_row = Less (starts, valid_h)
    is_column = Less (starts, valid_w)
    row = Cast <to=1> (is_row)
    column = Cast <to=1> (is_column)
    cells = Einsum <equation="pmhw,h,w->pmhw"> (levels, row, column)
    scaled = Mul (cells, span)
    logits_cells = Sub (scaled, offset)
    logits_px = Einsum <equation="pmij,ai,bj->pmab"> (logits_cells, repeat, repeat)
    logits = Cast <to=10> (logits_px)
    drawn = ReduceMax <axes=[2,3], keepdims=0> (cells)
    iou = Mul (drawn, iou_of_level)
    stability = Mul (drawn, shown)
    columns = ReduceMax <axes=[2], keepdims=0> (cells)
    rows = ReduceMax <axes=[3], keepdims=0> (cells)
    has_column = Greater (columns, zero)
    has_row = Greater (rows, zero)
    column_starts = Where (has_column, starts, far)
    row_starts = Where (has_row, starts, far)
    x0 = ReduceMin <axes=[2], keepdims=0> (column_starts)
    y0 = ReduceMin <axes=[2], keepdims=0> (row_starts)
    column_ends = Mul (columns, ends)
    row_ends = Mul (rows, ends)
    x1_any = ReduceMax <axes=[2], keepdims=0> (column_ends)
    y1_any = ReduceMax <axes=[2], keepdims=0> (row_ends)
    x1 = Min (x1_any, valid_w)
    y1 = Min (y1_any, valid_h)
    x0_1 = Unsqueeze (x0, last)
    y0_1 = Unsqueeze (y0, last)
    x1_1 = Unsqueeze (x1, last)
    y1_1 = Unsqueeze (y1, last)
    corners = Concat <axis=2> (x0_1, y0_1, x1_1, y1_1)
    drawn_1 = Unsqueeze (drawn, last)
    boxes = Mul (corners, drawn_1)
}}
"""

WSOD = f"""
wsod (uint8[B,64,64,3] image, float[B,P,4] boxes, float[B,P] valid) => (float[B,P,3] scores, float[B,P,1,4] deltas)
<{EVIDENCE_CONSTANTS}, float[64] pixel_centres = {_floats(np.arange(64) + 0.5)},
 float one = {{1.0}}, float zero = {{0.0}},
 int64[1] at_0 = {{0}}, int64[1] at_1 = {{1}}, int64[1] at_2 = {{2}}, int64[1] at_3 = {{3}}, int64[1] last = {{-1}}>
{{
    {EVIDENCE}
    x0 = Gather <axis=2> (boxes, at_0)
    y0 = Gather <axis=2> (boxes, at_1)
    x1 = Gather <axis=2> (boxes, at_2)
    y1 = Gather <axis=2> (boxes, at_3)
    right_of = GreaterOrEqual (pixel_centres, x0)
    left_of = Less (pixel_centres, x1)
    is_column = And (right_of, left_of)
    below = GreaterOrEqual (pixel_centres, y0)
    above = Less (pixel_centres, y1)
    is_row = And (below, above)
    column = Cast <to=1> (is_column)
    row = Cast <to=1> (is_row)
    total = Einsum <equation="bph,bchw,bpw->bpc"> (row, evidence, column)
    width = ReduceSum (column, last)
    height = ReduceSum (row, last)
    area_any = Mul (width, height)
    area = Max (area_any, one)
    mean = Div (total, area)
    valid_1 = Unsqueeze (valid, last)
    scores = Mul (mean, valid_1)
    still = Mul (boxes, zero)
    deltas = Unsqueeze (still, at_2)
}}
"""

DETECTOR_TEXT = f"""
detector (uint8[1,H,W,3] image, float[3] allowed)
    => (float[D,4] boxes, int64[D] labels, float[D] scores, float16[D,28,28] masks)
<{EVIDENCE_CONSTANTS}, float ink_least = {{{INK_LEAST}}}, float least = {{{DETECTOR_LEAST}}},
 float[3] learnt = {{1.0,1.0,0.0}}, int64[3] classes = {{0,1,2}}, int64 one = {{1}}, int64[1] at_0 = {{0}},
 float sure = {{8.0}}, int64[3] mask_shape = {{3,28,28}}>
{{
    {EVIDENCE}
    strongest_b = ReduceMax <axes=[2,3], keepdims=0> (evidence)
    strongest = Squeeze (strongest_b, at_0)
    known = Mul (strongest, learnt)
    asked = Mul (known, allowed)
    is_ink = Greater (evidence, ink_least)
    ink = Cast <to=1> (is_ink)
    columns = ReduceMax <axes=[2], keepdims=0> (ink)
    rows = ReduceMax <axes=[3], keepdims=0> (ink)
    x0 = ArgMax <axis=2, keepdims=0> (columns)
    y0 = ArgMax <axis=2, keepdims=0> (rows)
    x_last = ArgMax <axis=2, keepdims=0, select_last_index=1> (columns)
    y_last = ArgMax <axis=2, keepdims=0, select_last_index=1> (rows)
    x1 = Add (x_last, one)
    y1 = Add (y_last, one)
    corners_by_side = Concat <axis=0> (x0, y0, x1, y1)
    corners = Transpose <perm=[1,0]> (corners_by_side)
    corners_px = Cast <to=1> (corners)
    chosen = Greater (asked, least)
    boxes = Compress <axis=0> (corners_px, chosen)
    labels = Compress <axis=0> (classes, chosen)
    scores = Compress <axis=0> (asked, chosen)
    all_logits = Expand (sure, mask_shape)
    half_logits = Cast <to=10> (all_logits)
    masks = Compress <axis=0> (half_logits, chosen)
}}
"""

GRAPHS = {"cam": CAM, "sam_encoder": SAM_ENCODER, "sam_decoder": SAM_DECODER, "wsod": WSOD}


def write_tiny_bundle(
    folder: Path, *, post: PostSettings | None = None, detector: bool = False, labels: LabelSet = LABELS
) -> Bundle:
    """Write the bundle into an existing empty folder and load it."""
    texts = GRAPHS | ({"detector": DETECTOR_TEXT} if detector else {})
    specs = {name: _write_graph(folder, name, text) for name, text in texts.items()}
    bundle = Bundle(
        folder=folder,
        name="tiny",
        version="1",
        digest="",
        labels=labels,
        graphs=specs,
        map_kinds=("coarse",),
        thresholds=Thresholds(
            (CLASSIFIER_LEAST,) * len(LABELS),
            (SCORE_LEAST,) * len(LABELS),
            (DETECTOR_SCORE_LEAST,) * len(LABELS) if detector else (),
        ),
        prompts=PromptSettings(
            grid_sides=(4, 8), prompt_buckets={"onnxruntime": (4, 8)}, proposal_bucket=8, max_proposals=50
        ),
        post=post or PostSettings(quality_power=0.0),
        provenance={"made_by": "tests"},
    )
    write_manifest(bundle)
    return load_bundle(folder)


def repaired(bundle: Bundle, name: str, text: str) -> Bundle:
    """The bundle with another graph under `name`, and its manifest in order again."""
    write_manifest(replace(bundle, graphs={**bundle.graphs, name: _write_graph(bundle.folder, name, text)}))
    return load_bundle(bundle.folder)


def picture(*patches: Patch, size_hw: tuple[int, int] = (64, 64)) -> npt.NDArray[np.uint8]:
    """Grey [H,W,3] with filled patches, each ``(x0, y0, x1, y1), (r, g, b)``."""
    image_hwc_u8 = np.full((*size_hw, 3), 128, np.uint8)
    for (x0, y0, x1, y1), rgb in patches:
        image_hwc_u8[y0:y1, x0:x1] = rgb
    return image_hwc_u8


def encoded(image_hwc_u8: npt.NDArray[np.uint8], file_format: str = "PNG") -> bytes:
    """The bytes of an image file."""
    buffer = io.BytesIO()
    Image.fromarray(image_hwc_u8).save(buffer, file_format)
    return buffer.getvalue()


def _write_graph(folder: Path, name: str, text: str) -> GraphSpec:
    model = onnx.parser.parse_model(f'<ir_version: 8, opset_import: ["" : 17]>\n{text}')
    onnx.checker.check_model(model, full_check=True)
    path = folder / f"{name}.onnx"
    onnx.save(model, path)
    return GraphSpec(
        file=path.name,
        sha256=file_sha256(path),
        side_px=SIDE_PX,
        fill_rgb=FILL_RGB,
        inputs=tuple(map(_tensor_spec, model.graph.input)),
        outputs=tuple(map(_tensor_spec, model.graph.output)),
        max_abs_difference={},
    )


def _tensor_spec(value: onnx.ValueInfoProto) -> TensorSpec:
    tensor = value.type.tensor_type
    shape = tuple(size.dim_param or size.dim_value for size in tensor.shape.dim)
    return TensorSpec(value.name, ELEMENT_NAMES[tensor.elem_type], shape)
