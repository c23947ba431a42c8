"""Checkpoints of the official format against segment_anything's own registry and predictor."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from segment_anything import SamPredictor, sam_model_registry
from segment_anything.modeling import Sam

from models.letterbox import Letterbox
from models.nets.checkpoint_files import CheckpointError, read_checkpoint, state_of
from models.nets.many_prompts import decode_many
from models.nets.published_sam.parts import FILL_RGB, PIXEL_MEAN, PIXEL_STD
from models.nets.published_sam.vit import OFFICIAL_SIZES, OfficialSam, load_official_sam, sizes_of
from tests.support.segmenters.official_sam import SMALL, write_small_checkpoint

IMAGE_HW = (96, 160)


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_small_checkpoint(tmp_path_factory.mktemp("official") / "small.pth")


@pytest.fixture(scope="module")
def net(checkpoint: Path) -> OfficialSam:
    return load_official_sam(state_of(read_checkpoint(checkpoint)), checkpoint)[0]


@pytest.mark.parametrize("name", OFFICIAL_SIZES)
def test_the_registrys_networks_are_recognised_by_their_tensors(name: str) -> None:
    with torch.device("meta"):
        published = sam_model_registry[name]().state_dict()
        sizes = sizes_of(published, Path("x.pth"))
        ours = OfficialSam(sizes).state_dict()
    assert sizes.name == name
    assert sizes == OFFICIAL_SIZES[name]
    assert {key: value.shape for key, value in ours.items()} == {key: value.shape for key, value in published.items()}


def test_sizes_are_those_the_file_was_made_with(checkpoint: Path) -> None:
    assert load_official_sam(state_of(read_checkpoint(checkpoint)), checkpoint)[1] == SMALL


def test_pictures_are_normalised_as_published_and_padding_is_zero(net: OfficialSam) -> None:
    rng = np.random.default_rng(0)
    image_hwc_u8 = rng.integers(0, 256, (*IMAGE_HW, 3), np.uint8)
    letterbox = Letterbox(IMAGE_HW, net.side_px)
    square = torch.from_numpy(letterbox.apply(image_hwc_u8, net.fill_rgb))[None]
    height, width = letterbox.valid_hw
    found = net.normalise(square)
    published = _as_published(net).preprocess(square[:, :height, :width].permute(0, 3, 1, 2).float())
    torch.testing.assert_close(found[..., :height, :width], published[..., :height, :width], rtol=0, atol=1e-6)
    assert (found[..., height:, :] == 0).all()
    assert (found[..., width:] == 0).all()
    assert (published[..., height:, :] == 0).all()
    # The fill is the whole colour nearest to the mean.
    assert tuple(round(value) for value in PIXEL_MEAN) == FILL_RGB


def test_prompts_are_answered_as_the_published_predictor_answers(net: OfficialSam) -> None:
    rng = np.random.default_rng(1)
    image_hwc_u8 = rng.integers(0, 256, (net.side_px * 3 // 4, net.side_px, 3), np.uint8)  # not resized by either
    predictor = SamPredictor(_as_published(net))
    predictor.set_image(image_hwc_u8)
    square = Letterbox(image_hwc_u8.shape[:2], net.side_px).apply(image_hwc_u8, net.fill_rgb)
    points = torch.tensor([[[30.0, 40.0]], [[100.0, 80.0]]])
    with torch.no_grad():
        embedding = net.encode(torch.from_numpy(square)[None])
        # A lone point gets a row of padding, as the published prompt encoder adds it.
        coords = torch.cat([points, torch.zeros(2, 1, 2)], dim=1)
        labels = torch.tensor([[1.0, -1.0], [1.0, -1.0]])
        logits, iou = decode_many(net.prompt_encoder, net.mask_decoder, embedding, coords, labels)
        torch.testing.assert_close(embedding, predictor.get_image_embedding(), rtol=1e-4, atol=1e-4)
        _, expected_iou, expected = predictor.predict_torch(points, torch.ones(2, 1), multimask_output=True)
    torch.testing.assert_close(logits, expected, rtol=1e-3, atol=1e-3)
    torch.testing.assert_close(iou, expected_iou, rtol=1e-3, atol=1e-3)


def test_a_checkpoint_of_another_size_has_no_official_name() -> None:
    assert replace(SMALL, width=99).name == "vit of width 99 and depth 3"


@pytest.mark.parametrize(
    ("write", "sentence"),
    [
        pytest.param(
            lambda path: path.write_bytes(b"no checkpoint"),
            "cannot be read as a checkpoint",
            id="text",
        ),
        pytest.param(lambda path: path.write_bytes(b""), "cannot be read as a checkpoint", id="empty"),
        pytest.param(lambda path: torch.save(SamPredictor, path), "cannot be read as a checkpoint", id="code"),
        pytest.param(lambda path: torch.save({"model": {}}, path), "keys must begin with image_encoder", id="wrapped"),
        pytest.param(lambda path: torch.save(torch.zeros(3), path), "keys must begin with image_encoder", id="tensor"),
        pytest.param(lambda path: _save_changed(path, drop=True), "differs from Segment Anything", id="key missing"),
        pytest.param(lambda path: _save_changed(path, drop=False), "differs from Segment Anything", id="key too many"),
    ],
)
def test_other_files_are_refused(tmp_path: Path, write: Callable[[Path], object], sentence: str) -> None:
    path = tmp_path / "x.pth"
    write(path)
    with pytest.raises(CheckpointError, match=sentence) as refused:
        load_official_sam(state_of(read_checkpoint(path)), path)
    assert str(refused.value).startswith(str(path))
    assert "\n" not in str(refused.value)


def _save_changed(path: Path, drop: bool) -> None:
    state = torch.load(write_small_checkpoint(path), weights_only=True)
    if drop:
        del state["mask_decoder.iou_token.weight"]
    else:
        state["extra.weight"] = torch.zeros(1)
    torch.save(state, path)


def _as_published(net: OfficialSam) -> Sam:
    return Sam(
        image_encoder=net.image_encoder,
        prompt_encoder=net.prompt_encoder,
        mask_decoder=net.mask_decoder,
        pixel_mean=list(PIXEL_MEAN),
        pixel_std=list(PIXEL_STD),
    ).eval()


def test_the_small_sizes_exercise_both_kinds_of_attention() -> None:
    assert 0 < len(SMALL.global_blocks) < SMALL.depth
    assert (SMALL.side_px // SMALL.patch_px) % SMALL.window, "windows must need padding, as 64 and 14 do"
