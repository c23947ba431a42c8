"""A checkpoint of Segment Anything's own format exported and served beside a classifier of another size."""

from __future__ import annotations

from pathlib import Path

import httpx
import numpy as np
import pytest
import torch

from deploy.export.bundle import export_bundle
from deploy.export.sam_sources import open_sam
from models.boxes import pairwise_iou
from models.bundle import Bundle
from models.bundle_files.manifest import load_bundle
from models.config import load_config
from models.labels import Label, LabelSet
from models.letterbox import Letterbox
from models.nets.published_sam.parts import FILL_RGB
from models.run_folder import open_run
from models.settings import BundleConfig
from service.app import create_app
from tests.support.bundles.service_parts import tiny_settings
from tests.support.bundles.tiny_bundle import encoded
from tests.support.segmenters.official_sam import SMALL, write_random_runs, write_small_checkpoint
from tests.support.servers.live_server import live_server
from training.data.tagged import TaggedImage
from training.proposals.graph_runner import GraphRunner
from training.proposals.store import store_proposals
from weaksam.files.digests import file_sha256
from weaksam.formats.run_lengths import decode_rle

BUNDLE_CONFIG = Path(__file__).resolve().parents[4] / "deploy" / "configs" / "default.toml"
LABELS = LabelSet((Label("Bolt"), Label("Nut")))
CAM_SIDE = 64
# Random weights predict any quality, so nothing may be filtered by it.
EASY = ["prompts.grid_min_iou=-99", "prompts.grid_min_stability=-99", "prompts.grid_sides=[4]"]


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_small_checkpoint(tmp_path_factory.mktemp("official") / "renamed.pth")


@pytest.fixture(scope="module")
def bundle(checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    torch.manual_seed(5)
    folder = tmp_path_factory.mktemp("runs")
    cam, wsod = write_random_runs(folder, LABELS, CAM_SIDE)
    config = load_config(BundleConfig, BUNDLE_CONFIG, EASY)
    export_bundle(open_sam(checkpoint), open_run(cam, "cam"), open_run(wsod, "wsod"), config, folder / "bundle")
    return load_bundle(folder / "bundle")


@pytest.fixture
def picture_path(tmp_path: Path) -> Path:
    rng = np.random.default_rng(2)
    (tmp_path / "x.png").write_bytes(encoded(rng.integers(0, 256, (90, 150, 3), np.uint8)))
    return tmp_path / "x.png"


def test_the_graphs_keep_the_contract_and_agree_with_torch(bundle: Bundle, checkpoint: Path) -> None:
    encoder, decoder = bundle.graphs["sam_encoder"], bundle.graphs["sam_decoder"]
    grid = SMALL.side_px // SMALL.patch_px
    assert [(t.name, t.dtype, t.shape) for t in (*encoder.inputs, *encoder.outputs)] == [
        ("image", "uint8", ("B", SMALL.side_px, SMALL.side_px, 3)),
        ("embedding", "float32", ("B", SMALL.channels, grid, grid)),
    ]
    assert [(t.name, t.shape) for t in decoder.outputs] == [
        ("boxes", ("P", 3, 4)),
        ("iou", ("P", 3)),
        ("stability", ("P", 3)),
        ("logits", ("P", 3, 4 * grid, 4 * grid)),
    ]
    assert encoder.max_abs_difference["embedding"] < 0.001
    assert decoder.max_abs_difference["iou"] < 0.001
    assert {bundle.graphs[name].fill_rgb for name in ("sam_encoder", "sam_decoder")} == {FILL_RGB}
    record = bundle.provenance["runs"]["sam"]
    assert (record["checkpoint"], record["sha256"]) == ("renamed.pth", file_sha256(checkpoint))
    assert "segment_anything" in bundle.provenance["licences"]


def test_it_is_served(bundle: Bundle, picture_path: Path) -> None:
    files = {"image": ("x.png", picture_path.read_bytes())}
    form = {"tags": "Bolt,Nut", "min_score": "0", "explain": "true"}
    with live_server(create_app(tiny_settings(bundle.folder))) as url, httpx.Client(base_url=url, timeout=60) as client:
        answer = client.post("/detect", files=files, data=form).raise_for_status().json()
        encodes = client.get("/metrics").text
    assert 'weaksam_encodes_total{model="sam_encoder"} 2.0' in encodes  # the warm-up's and this one
    assert answer["detections"]
    for row in answer["detections"]:
        x0, y0, x1, y1 = row["box_xyxy"]
        assert 0 <= x0 < x1 <= 150
        assert 0 <= y0 < y1 <= 90
        assert decode_rle(row["mask"]).shape == (90, 150)
    peaks = [peak["point_xy"] for tag in answer["explain"]["tags"] for peak in tag["peaks"]]
    assert peaks
    assert all(0 <= x <= 150 and 0 <= y <= 90 for x, y in peaks)


def test_training_gets_the_proposals_in_the_classifiers_pixels(
    bundle: Bundle, picture_path: Path, tmp_path: Path
) -> None:
    image = TaggedImage("x", picture_path, (90, 150), ("Bolt",))
    [stored] = store_proposals(bundle.folder, [image], tmp_path / "store")
    picture = GraphRunner(bundle, threads=1).propose(image, [0]).proposal_set
    proposed = picture.proposals.boxes_xyxy
    assert len(stored.boxes_xyxy) == len(proposed) > 0
    np.testing.assert_allclose(
        Letterbox((90, 150), CAM_SIDE).boxes_to_image(stored.boxes_xyxy),
        Letterbox((90, 150), SMALL.side_px).boxes_to_image(proposed),
        atol=1e-3,
    )
    assert stored.boxes_xyxy.max() <= CAM_SIDE
    assert pairwise_iou(stored.boxes_xyxy[:1], proposed[:1])[0, 0] < 0.5, "the two frames are not the same"
