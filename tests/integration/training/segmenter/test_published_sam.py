"""Published segmenters in their official layouts, exported and served: finer maps travel to the decoder by name."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import httpx
import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from deploy.export.bundle import export_bundle
from deploy.export.sam_settings import licence_of
from deploy.export.sam_sources import open_sam
from models.bundle import Bundle
from models.bundle_files.manifest import load_bundle, write_manifest
from models.config import load_config
from models.labels import Label, LabelSet
from models.run_folder import open_run
from models.settings import BundleConfig
from service.app import create_app
from service.inference.open_pipeline import create_pipeline
from service.settings import load_settings
from tests.support.bundles.service_parts import decoded, tiny_settings
from tests.support.bundles.tiny_bundle import encoded, write_tiny_bundle
from tests.support.segmenters.mobile_sam import random_mobile_sam, write_mobile_sam
from tests.support.segmenters.official_sam import write_random_runs
from tests.support.segmenters.sam2 import random_sam2, write_sam2
from tests.support.servers.live_server import live_server
from tests.support.triton.fixtures import tiny_repository
from tests.support.triton.server import running_triton
from training.data.tagged import TaggedImage
from training.proposals.graph_runner import GraphRunner
from weaksam.cli.bundle import bundle_app
from weaksam.errors import UserError
from weaksam.formats.run_lengths import decode_rle
from weaksam.schemas import DetectOptions
from weaksam.segment_schemas import SegmentParameters

BUNDLE_CONFIG = Path(__file__).resolve().parents[4] / "deploy" / "configs" / "default.toml"
LABELS = LabelSet((Label("Bolt"), Label("Nut")))
CAM_SIDE, SIDE_PX = 64, 128
# Random weights predict any quality, so nothing may be filtered by it.
EASY = ["prompts.grid_min_iou=-99", "prompts.grid_min_stability=-99", "prompts.grid_sides=[4]"]


FINE = (("fine_4", ("B", 32, 32, 32)), ("fine_8", ("B", 64, 16, 16)))


@pytest.fixture(scope="module", params=["edgetam", "sam2-tiny", "mobilesam"])
def kind(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


def write_checkpoint(path: Path, kind: str) -> Path:
    """Save a random network of a kind as its authors do."""
    if kind == "mobilesam":
        return write_mobile_sam(path, random_mobile_sam(SIDE_PX))
    return write_sam2(path, random_sam2(kind, SIDE_PX))


@pytest.fixture(scope="module")
def bundle(kind: str, tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    folder = tmp_path_factory.mktemp(kind)
    checkpoint = write_checkpoint(folder / f"{kind}.pt", kind)
    torch.manual_seed(5)
    cam, wsod = write_random_runs(folder, LABELS, CAM_SIDE)
    config = load_config(BundleConfig, BUNDLE_CONFIG, EASY)
    sam = open_sam(checkpoint, SIDE_PX)
    export_bundle(sam, open_run(cam, "cam"), open_run(wsod, "wsod"), config, folder / "bundle")
    return load_bundle(folder / "bundle")


def test_the_graphs_keep_the_contract_and_agree_with_torch(bundle: Bundle, kind: str) -> None:
    encoder, decoder = bundle.graphs["sam_encoder"], bundle.graphs["sam_decoder"]
    fine = () if kind == "mobilesam" else FINE
    assert [(t.name, t.shape) for t in encoder.outputs] == [("embedding", ("B", 256, 8, 8)), *fine]
    assert bundle.decoder_features == ("embedding", *(name for name, _ in fine))
    assert [(t.name, t.shape) for t in decoder.outputs][-1] == ("logits", ("P", 3, 32, 32))
    assert decoder.max_abs_difference["iou"] < 1e-3
    record = bundle.provenance["runs"]["sam"]
    assert (record["checkpoint"], record["kind"]) == (f"{kind}.pt", kind)
    assert licence_of(kind).items() <= bundle.provenance["licences"].items()


def test_it_is_served_and_its_finer_maps_are_cached(bundle: Bundle) -> None:
    picture = encoded(np.random.default_rng(2).integers(0, 256, (90, 150, 3), np.uint8))
    form = {"tags": "Bolt,Nut", "min_score": "0"}
    with live_server(create_app(tiny_settings(bundle.folder))) as url, httpx.Client(base_url=url, timeout=60) as client:
        results = [client.post("/detect", files={"image": ("x.png", picture)}, data=form).json() for _ in range(2)]
        box = {"box": [20, 10, 90, 70], "image_sha256": results[0]["image"]["sha256"]}
        masks = client.post("/segment", json=box).raise_for_status().json()["masks"]
        metrics = client.get("/metrics").text
    assert len(masks) == 3
    assert 'weaksam_encodes_total{model="sam_encoder"} 2.0' in metrics  # the warm-up's and one for both requests
    assert results[0]["detections"]
    assert results[0]["detections"] == results[1]["detections"]
    assert all(decode_rle(row["mask"]).shape == (90, 150) for row in results[0]["detections"])


@pytest.mark.parametrize("kind", ["edgetam"], indirect=True)
async def test_triton_hands_three_embeddings_to_the_decoder(bundle: Bundle, tmp_path: Path) -> None:
    image = decoded(np.random.default_rng(2).integers(0, 256, (90, 150, 3), np.uint8))
    options = DetectOptions(min_score=0, explain=True)
    box = SegmentParameters(box=(20, 10, 90, 70))
    found = []
    with running_triton(tiny_repository(bundle, tmp_path / "repository")) as server:
        on_triton = {"backend": "triton", "triton_urls": server.grpc_url, "deadline_s": 600}
        for changes in ({}, on_triton):
            pipeline = create_pipeline(load_settings(bundle=bundle.folder, **changes))
            found.append((await pipeline.detect(image, ["Bolt"], options), await pipeline.segment(image, box)))
            await pipeline.aclose()
    (embedded, masks), (remote, remote_masks) = found
    assert embedded.detections
    assert remote.prompts_asked == embedded.prompts_asked > 0
    for one, other in zip(embedded.detections, remote.detections, strict=True):
        np.testing.assert_allclose(other.box_xyxy, one.box_xyxy, atol=0.1)
        assert other.score == pytest.approx(one.score, abs=1e-3)
    for mask, same in zip(masks.masks, remote_masks.masks, strict=True):
        assert same.predicted_iou == pytest.approx(mask.predicted_iou, abs=1e-3)


def test_training_proposes_with_it(bundle: Bundle, tmp_path: Path) -> None:
    (tmp_path / "x.png").write_bytes(encoded(np.random.default_rng(2).integers(0, 256, (90, 150, 3), np.uint8)))
    image = TaggedImage("x", tmp_path / "x.png", (90, 150), ("Bolt",))
    proposal_set = GraphRunner(bundle, threads=1).propose(image, [0]).proposal_set
    assert len(proposal_set.proposals)


def test_a_bundle_gets_another_segmenter(tmp_path: Path) -> None:
    plain = write_tiny_bundle(_made(tmp_path / "tiny"))
    write_manifest(replace(plain, prompts=replace(plain.prompts, box_margin=0.1)))
    small = load_bundle(plain.folder)
    checkpoint = write_checkpoint(tmp_path / "edgetam.pt", "edgetam")
    options = [
        "--bundle",
        str(small.folder),
        "--out",
        str(tmp_path / "new"),
        "--side-px",
        str(SIDE_PX),
        "--version",
        "2",
    ]
    ended = CliRunner().invoke(bundle_app, ["with-sam", str(checkpoint), *options], catch_exceptions=False)
    assert ended.exit_code == 0
    made = load_bundle(tmp_path / "new")
    assert (made.name, made.version, made.labels) == (small.name, "2", small.labels)
    assert (made.graphs["wsod"], made.thresholds) == (small.graphs["wsod"], small.thresholds)
    assert (made.side_px, made.decoder_features) == (SIDE_PX, ("embedding", "fine_4", "fine_8"))
    # Twice the side: twice the window. SAM 2's published thresholds.
    assert made.prompts.peak_window_px == 2 * small.prompts.peak_window_px
    assert (made.prompts.grid_min_iou, made.prompts.grid_min_stability) == (0.8, 0.95)
    assert made.prompts.max_prompts == max(80, small.prompts.max_prompts), "a grid needs more than a prompt map"
    assert made.prompts.box_margin == 0, "the margin was chosen for another segmenter"
    assert load_bundle(small.folder) == small


def test_the_side_of_a_bundle_cannot_be_changed(tmp_path: Path) -> None:
    small = write_tiny_bundle(_made(tmp_path / "tiny"))
    with pytest.raises(UserError, match=r"side_px: .*tiny has a side of its own"):
        open_sam(small.folder, SIDE_PX)


def _made(folder: Path) -> Path:
    folder.mkdir()
    return folder
