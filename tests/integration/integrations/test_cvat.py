"""CVAT: its own loader and mapper of functions, its mask decoder, and what nuclio passes on, on the tiny bundle."""

from __future__ import annotations

import base64
import io
import json
import logging
import re
import runpy
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx
import numpy as np
import pytest
import yaml
from PIL import Image

from models.bundle import Bundle
from models.image import decode_image
from service.app import create_app
from service.auth.api_keys import ApiKey, KeyFile, key_sha256, new_key, write_key_file
from tests.support.bundles.service_parts import BLUE, RED, tiny_settings
from tests.support.bundles.tiny_bundle import encoded, picture
from tests.support.labelling_tools.format_readers import even_odd
from tests.support.servers.live_server import live_server
from weaksam.cli.labelling.cvat_functions import cvat_functions
from weaksam.formats.polygons import mask_iou
from weaksam.formats.run_lengths import decode_rle
from weaksam.mask_schemas import PolygonMask, RleMask

cvataa = pytest.importorskip("cvat_sdk.auto_annotation", reason="cvat-cli is not installed: pip install -e '.[cvat]'")
from cvat_cli._internal.common import FunctionLoader  # noqa: E402
from cvat_cli._internal.parsers import parse_function_parameter  # noqa: E402
from cvat_sdk.auto_annotation.driver import _AnnotationMapper, _DetectionFunctionContextImpl  # noqa: E402
from cvat_sdk.masks import decode_mask  # noqa: E402

from tests.support.servers.free_port import free_port  # noqa: E402
from weaksam.integrations.cvat import _png  # noqa: E402
from weaksam.integrations.nuclio import write_functions  # noqa: E402

SIZE_HW = (128, 128)
PALE_GREEN = (0, 220, 0)  # its score is 0.86
IMAGE = picture(((32, 32, 64, 64), RED), ((80, 80, 112, 104), BLUE), ((80, 16, 104, 40), PALE_GREEN), size_hw=SIZE_HW)
RED_BOX = (32, 32, 64, 64)
LABELS = ("red-bolt", "green-nut", "blue-wrench")
KEY = new_key()
Loader = Callable[..., Any]


@pytest.fixture(scope="module")
def url(tiny_bundle: Bundle, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The service, with an API key."""
    path = tmp_path_factory.mktemp("keys") / "keys.json"
    write_key_file(path, KeyFile(keys=(ApiKey(name="user", sha256=key_sha256(KEY)),)))
    with live_server(create_app(tiny_settings(tiny_bundle.folder, api_keys_file=path))) as address:
        yield address


@pytest.fixture
def loaded(monkeypatch: pytest.MonkeyPatch, url: str) -> Iterator[Loader]:
    """Loads the function as cvat-cli does, with the texts that follow `-p`."""
    monkeypatch.setenv("WEAKSAM_API_KEY", KEY)
    functions = []

    def load(*parameters: str) -> Any:
        named = dict(parse_function_parameter(text) for text in (f"server=str:{url}", *parameters))
        functions.append(FunctionLoader("weaksam.integrations.cvat", None, named).load())
        return functions[-1]

    yield load
    for function in functions:
        function.client.close()


def annotate(function: Any, kind: str = "any", **context: Any) -> list[Any]:
    """Return the shapes of one frame, checked and renumbered as cvat-cli does before it uploads them."""
    task_labels = [
        SimpleNamespace(id=100 + id_, name=name, type=kind, attributes=[], sublabels=[])
        for id_, name in enumerate(LABELS)
    ]
    mapper = _AnnotationMapper(
        logging.getLogger(),
        function.spec.labels,
        task_labels,
        allow_unmatched_labels=False,
        conv_mask_to_poly=context.get("conv_mask_to_poly", False),
    )
    found = function.detect(
        _DetectionFunctionContextImpl(**{"frame_name": "scene.png"} | context), Image.fromarray(IMAGE)
    )
    shapes: list[Any]
    tags, shapes = mapper.validate_and_remap(found, 7)
    assert tags == []
    assert {(shape.frame, shape.source) for shape in shapes} <= {(7, "auto")}
    return shapes


@pytest.fixture
def tags_file(tmp_path: Path) -> Path:
    """Tags of one frame, named as on another machine, and of one more with a tag that is no label."""
    path = tmp_path / "tags.csv"
    path.write_text('file,tags\nC:\\photos\\Scene.png,"red-bolt,blue-wrench"\nother.png,"gasket,green-nut"\n')
    return path


def test_masks_are_those_of_detect(loaded: Loader, url: str, tags_file: Path) -> None:
    body = {"image": base64.b64encode(encoded(IMAGE)).decode(), "tags": ["red-bolt", "blue-wrench"]}
    result = httpx.post(f"{url}/detect", json=body, headers={"Authorization": f"Bearer {KEY}"}).json()

    shapes = annotate(loaded(f"tags=str:{tags_file}"), "mask")

    assert [shape.label_id - 100 for shape in shapes] == [
        LABELS.index(found["label"]) for found in result["detections"]
    ]
    for shape, found in zip(shapes, result["detections"], strict=True):
        assert shape.type.value == "mask"
        mask_hw = decode_mask(shape.points, image_width=SIZE_HW[1], image_height=SIZE_HW[0])
        assert np.array_equal(mask_hw, decode_rle(found["mask"]))


def test_polygons_if_cvat_wants_them(loaded: Loader, tags_file: Path) -> None:
    function = loaded(f"tags=str:{tags_file}")
    masks = [decode_mask(shape.points, image_width=128, image_height=128) for shape in annotate(function)]
    polygons = annotate(function, "polygon", conv_mask_to_poly=True)
    for shape, mask_hw in zip(polygons, masks, strict=True):
        assert mask_iou(even_odd(np.reshape(shape.points, (-1, 2)), SIZE_HW), mask_hw) >= 0.95


def test_boxes_for_tasks_with_rectangles(loaded: Loader, tags_file: Path) -> None:
    function = loaded(f"tags=str:{tags_file}", "shape=str:rectangle")
    first, *_ = annotate(function, "rectangle")
    assert first.points == pytest.approx(RED_BOX, abs=2)


def test_the_score_of_the_command_is_the_minimum(loaded: Loader) -> None:
    function = loaded()
    assert {shape.label_id for shape in annotate(function, conf_threshold=0.9)} == {100, 102}
    assert {shape.label_id for shape in annotate(function, conf_threshold=0.5)} == {100, 101, 102}


def test_without_a_file_the_classifier_proposes(loaded: Loader) -> None:
    assert {shape.label_id for shape in annotate(loaded())} == {100, 101, 102}


def test_the_key_may_lie_in_a_file_as_editors_save_it(
    loaded: Loader, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("WEAKSAM_API_KEY")
    (tmp_path / "key").write_text(f"{KEY}\n", encoding="utf-8-sig")
    assert len(loaded(f"api_key_file=str:{tmp_path / 'key'}").spec.labels) == len(LABELS)


def test_a_frame_that_cannot_be_labelled_is_named(
    loaded: Loader, tags_file: Path, caplog: pytest.LogCaptureFixture
) -> None:
    function = loaded(f"tags=str:{tags_file}")
    assert annotate(function, frame_name="unlisted.png") == []
    assert "unlisted.png is left out: the file of tags has none for it" in caplog.text
    assert {shape.label_id for shape in annotate(function, frame_name="other.png")} == {101}
    assert "the tag 'gasket' is no label" in caplog.text


@pytest.mark.parametrize("conv_mask_to_poly", [False, True])
def test_an_object_whose_mask_is_empty_is_named(
    loaded: Loader, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch, conv_mask_to_poly: bool
) -> None:
    """cvat-cli would refuse the whole task for a rectangle among masks."""
    function = loaded()
    detect = function.client.detect
    rle, polygon = {"size": SIZE_HW, "counts": "PP`0"}, {"size": SIZE_HW, "polygons": [], "fidelity_iou": 1.0}
    empty = PolygonMask.model_validate(polygon) if conv_mask_to_poly else RleMask.model_validate(rle)

    def without_the_first_mask(*arguments: Any, **options: Any) -> Any:
        result = detect(*arguments, **options)
        first, *others = result.detections
        return result.model_copy(update={"detections": [first.model_copy(update={"mask": empty}), *others]})

    monkeypatch.setattr(function.client, "detect", without_the_first_mask)
    shapes = annotate(function, conv_mask_to_poly=conv_mask_to_poly)
    assert {shape.label_id for shape in shapes} == {101, 102}
    assert re.search(r"scene.png: red-bolt at \[[\d., ]+\] is left out, its mask is empty", caplog.text)


@dataclass(frozen=True)
class Response:
    """What nuclio's `context.Response` takes."""

    body: bytes
    headers: dict[str, str]
    content_type: str
    status_code: int


@pytest.fixture
def nuclio(url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Call a deployed function with a body, as nuclio calls the files that the command wrote."""
    monkeypatch.setenv("WEAKSAM_API_KEY", KEY)
    cvat_functions(tmp_path, url)

    def call(kind: str, **body: Any) -> tuple[int, Any]:
        document = yaml.safe_load((tmp_path / kind / "function.yaml").read_text())
        for variable in document["spec"]["env"]:
            monkeypatch.setenv(variable["name"], variable["value"])
        file, _, name = document["spec"]["handler"].partition(":")
        handler = runpy.run_path(str(tmp_path / kind / f"{file}.py"))[name]
        event = SimpleNamespace(body={"image": base64.b64encode(encoded(IMAGE)).decode()} | body)
        response = handler(SimpleNamespace(Response=Response), event)
        return response.status_code, json.loads(response.body)

    call.folder = tmp_path  # type: ignore[attr-defined]
    return call


def test_cvat_reads_what_the_functions_can(nuclio: Any) -> None:
    """`LambdaFunction` of CVAT: labels from the text of `spec`, the kind, and the interactor's rules."""
    notes = yaml.safe_load((nuclio.folder / "detector" / "function.yaml").read_text())["metadata"]["annotations"]
    assert [(label["name"], label["type"]) for label in json.loads(notes["spec"])] == [
        (name, "mask") for name in LABELS
    ]
    notes = yaml.safe_load((nuclio.folder / "interactor" / "function.yaml").read_text())["metadata"]["annotations"]
    assert (notes["type"], int(notes["min_pos_points"]), int(notes["min_neg_points"])) == ("interactor", 1, 0)


def test_the_detector_returns_masks_and_outlines(nuclio: Any) -> None:
    status, rows = nuclio("detector", threshold=0.5, tags=["red-bolt"])
    [row] = rows
    assert (status, row["label"], row["type"]) == (200, "red-bolt", "mask")
    assert 0.5 <= float(row["confidence"]) <= 1
    assert isinstance(row["confidence"], str)
    mask_hw = crop_mask(row["mask"])
    assert mask_iou(even_odd(np.reshape(row["points"], (-1, 2)), SIZE_HW), mask_hw) >= 0.95
    assert box_of(mask_hw) == pytest.approx(RED_BOX, abs=2)


def test_the_detector_without_tags(nuclio: Any) -> None:
    assert {row["label"] for row in nuclio("detector")[1]} == set(LABELS)


@pytest.mark.parametrize(
    "prompt",
    [
        pytest.param({"pos_points": [[48, 48]], "neg_points": []}, id="a click"),
        pytest.param({"pos_points": [[48, 48]], "neg_points": [[100, 90]], "obj_bbox": None}, id="two clicks"),
        pytest.param({"pos_points": [], "neg_points": [], "obj_bbox": [[64, 64], [32, 32]]}, id="a box"),
        pytest.param({"pos_points": [[48, 48]], "neg_points": [], "obj_bbox": [32, 32, 64, 64]}, id="a flat box"),
    ],
)
def test_the_interactor_returns_the_thing(nuclio: Any, prompt: dict[str, Any]) -> None:
    status, document = nuclio("interactor", **prompt)
    assert status == 200, document
    [shape] = document["shapes"]
    cvataa.InteractionResultShape(type=shape["type"], points=shape["points"], attributes=shape["attributes"])
    mask_hw = decode_mask(shape["points"], image_width=128, image_height=128)
    assert box_of(mask_hw) == pytest.approx(RED_BOX, abs=2)
    crop = [pixel for row in document["mask"] for pixel in row]
    assert np.array_equal(crop_mask([*crop, *document["bounds"]]), mask_hw)


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        pytest.param("detector", {"image": "no base64!"}, id="image"),
        pytest.param("detector", {"threshold": 2}, id="threshold"),
        pytest.param("detector", {"tags": ["gasket"]}, id="unknown tag"),
        pytest.param("interactor", {"pos_points": [], "neg_points": [[1, 1]]}, id="no prompt"),
        pytest.param("interactor", {"obj_bbox": [[1, 1]]}, id="half a box"),
    ],
)
def test_bad_input_is_a_client_error(nuclio: Any, kind: str, body: dict[str, Any]) -> None:
    status, document = nuclio(kind, **body)
    assert status == 422
    assert document["code"] in ("invalid_request", "unknown_tag")


def test_a_service_that_is_down_is_told(nuclio: Any) -> None:
    write_functions(f"http://127.0.0.1:{free_port()}", LABELS, nuclio.folder)
    status, document = nuclio("detector")
    assert (status, document["code"]) == (503, "unreachable")
    assert "Connection refused" in document["detail"]


def crop_mask(values: list[int]) -> np.ndarray[Any, np.dtype[np.bool_]]:
    """CVAT's server: pixels of the crop, row by row, then left, top, right and bottom, inclusive."""
    *pixels, left, top, right, bottom = values
    mask_hw = np.zeros(SIZE_HW, np.bool_)
    mask_hw[top : bottom + 1, left : right + 1] = np.reshape(pixels, (bottom - top + 1, right - left + 1))
    return mask_hw


def box_of(mask_hw: np.ndarray[Any, np.dtype[np.bool_]]) -> tuple[int, int, int, int]:
    rows, columns = np.flatnonzero(mask_hw.any(axis=1)), np.flatnonzero(mask_hw.any(axis=0))
    return int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1


def test_a_frame_is_not_turned_twice(loaded: Loader) -> None:
    """CVAT hands out upright frames; an orientation that is left in their EXIF must not turn them again."""
    file, exif = io.BytesIO(), Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(IMAGE).save(file, "PNG", exif=exif)
    context = _DetectionFunctionContextImpl(frame_name="scene.png")
    function = loaded("shape=str:rectangle")
    first, *_ = function.detect(context, Image.open(file))
    assert first.points == pytest.approx(RED_BOX, abs=2)


@pytest.mark.parametrize("mode", ["RGBA", "P", "I;16", "L", "CMYK"])
def test_a_frame_is_seen_as_its_file_is(mode: str) -> None:
    """Transparent parts are white, and 16 bits are stretched, as in an image that is sent to the service."""
    frame = frame_of(mode)
    file = io.BytesIO()
    frame.save(file, "TIFF" if mode == "CMYK" else "PNG")
    sent, own = decode_image(_png(frame)), decode_image(file.getvalue())
    assert np.abs(sent.image_hwc_u8.astype(int) - own.image_hwc_u8).max() <= 1


def frame_of(mode: str) -> Image.Image:
    """Return a frame with a colour under what is transparent, or with values above 255."""
    if mode == "I;16":
        return Image.fromarray(IMAGE[..., 0].astype(np.uint16) * 200)
    frame = Image.fromarray(IMAGE)
    if mode == "RGBA":
        frame.putalpha(Image.fromarray(np.where(IMAGE[..., 0] == 255, 0, 255).astype(np.uint8)))
    if mode == "P":
        frame = frame.quantize(8)
        frame.info["transparency"] = frame.getpixel((48, 48))
    return frame.convert(mode)
