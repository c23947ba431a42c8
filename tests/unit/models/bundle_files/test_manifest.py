from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from models.bundle import BundleError
from models.bundle_files.manifest import load_bundle
from tests.support.bundles.tiny_bundle import write_tiny_bundle


@pytest.fixture
def bundle_dir(default_bundle_dir: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(default_bundle_dir, tmp_path / "bundle"))


def edit(folder: Path, **changes: Any) -> None:
    path = folder / "bundle.json"
    values = json.loads(path.read_text()) | changes
    path.write_text(json.dumps({key: value for key, value in values.items() if value is not ...}))


def test_the_default_bundle_is_whole_and_within_its_size(default_bundle_dir: Path) -> None:
    bundle = load_bundle(default_bundle_dir)
    assert len(bundle.labels) == 31
    assert sum(path.stat().st_size for path in default_bundle_dir.iterdir()) <= 25 * 2**20
    for graph in bundle.graphs.values():
        assert set(graph.max_abs_difference) == {tensor.name for tensor in graph.outputs}


def test_a_cut_file_is_refused_by_name(bundle_dir: Path) -> None:
    path = bundle_dir / "cam.onnx"
    path.write_bytes(path.read_bytes()[:-10])
    with pytest.raises(BundleError, match=r"cam\.onnx has sha256 .* changed or cut short"):
        load_bundle(bundle_dir)


def test_a_missing_file_is_refused_by_name(bundle_dir: Path) -> None:
    (bundle_dir / "wsod.onnx").unlink()
    with pytest.raises(BundleError, match=r"wsod\.onnx does not exist"):
        load_bundle(bundle_dir)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        pytest.param({"schema_version": 99}, "schema_version is 99", id="unknown schema"),
        pytest.param({"labels": ...}, "labels is missing", id="missing field"),
        pytest.param({"thresholds": {"classifier": [0.5], "score": [0.1]}}, "must be 31 finite numbers", id="count"),
        pytest.param({"post": {"nms_io": 0.3}}, "unknown key 'nms_io': did you mean 'nms_iou'", id="unknown key"),
        pytest.param({"post": {"nms_iou": "high"}}, "nms_iou is 'high': must be a number", id="wrong type"),
        pytest.param({"graphs": []}, r"bundle\.json: graphs is \[\]: must be an object", id="graphs are no table"),
        pytest.param({"graphs": {}}, "graphs lacks cam, sam_encoder, sam_decoder, wsod", id="no graphs"),
    ],
)
def test_a_wrong_manifest_is_refused_by_field(bundle_dir: Path, changes: dict[str, Any], message: str) -> None:
    edit(bundle_dir, **changes)
    with pytest.raises(BundleError, match=message):
        load_bundle(bundle_dir)


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("side_px", "320", r"graphs\.cam\.side_px is '320': must be a whole number"),
        ("fill_rgb", [127, 127], r"graphs\.cam\.fill_rgb is \[127, 127\]: must have 3 items, not 2"),
        ("sha256", None, r"graphs\.cam\.sha256 is null: must be a text in quotes"),
        (
            "max_abs_difference",
            {"maps": "small"},
            r"graphs\.cam\.max_abs_difference\.maps is 'small': must be",
        ),
    ],
)
def test_a_graph_described_by_wrong_types_is_refused(bundle_dir: Path, field: str, value: Any, message: str) -> None:
    graphs = json.loads((bundle_dir / "bundle.json").read_text())["graphs"]
    graphs["cam"][field] = value
    edit(bundle_dir, graphs=graphs)
    with pytest.raises(BundleError, match=message):
        load_bundle(bundle_dir)


def test_a_decoder_of_another_encoder_is_refused(tmp_path: Path) -> None:
    write_tiny_bundle(tmp_path)
    assert load_bundle(tmp_path).decoder_features == ("embedding", "rest")
    graphs = json.loads((tmp_path / "bundle.json").read_text())["graphs"]
    graphs["sam_encoder"]["outputs"][1]["shape"] = ["B", 3, 8, 8]
    edit(tmp_path, graphs=graphs)
    with pytest.raises(
        BundleError, match=r"sam_decoder takes rest \('float32', \(3, 16, 16\)\), sam_encoder gives .*8"
    ):
        load_bundle(tmp_path)


def test_a_folder_without_manifest_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match=r"bundle\.json does not exist"):
        load_bundle(tmp_path)


@pytest.mark.parametrize("text", ["{", "[" * 50_000], ids=["half", "too deep"])
def test_a_manifest_that_is_no_json_is_refused(bundle_dir: Path, text: str) -> None:
    (bundle_dir / "bundle.json").write_text(text)
    with pytest.raises(BundleError, match="cannot be read as JSON"):
        load_bundle(bundle_dir)


def test_a_name_or_a_way_to_draw_masks_changes_no_score(bundle_dir: Path) -> None:
    before = load_bundle(bundle_dir)
    post = json.loads((bundle_dir / "bundle.json").read_text())["post"]

    edit(
        bundle_dir,
        name="other",
        version="99",
        provenance={},
        post=post | {"mask_source": "proposal", "box_mask_share": 0.5},
    )
    renamed = load_bundle(bundle_dir)
    edit(bundle_dir, post=post | {"nms_iou": 0.9})
    suppressed = load_bundle(bundle_dir)

    assert renamed.digest != before.digest
    assert renamed.inference_digest == before.inference_digest
    assert suppressed.inference_digest != before.inference_digest
