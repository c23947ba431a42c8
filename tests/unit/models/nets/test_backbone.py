"""timm's backbones as the networks take them: strides, weights, random numbers."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import cast

import pytest
import timm
import torch
from safetensors.torch import save_file
from timm.models import FeatureInfo
from torch import nn

from models.nets.backbone import FeaturePyramid, create_backbone, normalise_image
from models.nets.cam_settings import WeakTrSettings
from models.nets.detectors.rcnn_parts import Pyramid
from models.nets.detectors.settings import RcnnSettings
from models.nets.weaktr import build_weaktr

SIDE_PX = 64


@pytest.fixture
def shapes_alone() -> Iterator[None]:
    """Networks and tensors without numbers, which are made and run in no time."""
    with torch.device("meta"):
        yield


def strides_px(backbone: nn.Module) -> list[int]:
    return [SIDE_PX // found.shape[-1] for found in backbone.eval()(torch.zeros(1, 3, SIDE_PX, SIDE_PX))]


@pytest.mark.usefixtures("shapes_alone")
@pytest.mark.parametrize(
    "name",
    [
        pytest.param("mobilenetv2_050", id="maps from stride 2 on"),
        pytest.param("convnext_atto", id="maps from stride 4 on"),
        pytest.param("vgg11", id="maps from stride 1 on"),
        pytest.param(
            "dla46_c",
            id="maps from stride 1 on that timm leaves out unasked",
        ),
    ],
)
def test_maps_are_of_strides_4_to_32_however_a_network_numbers_them(name: str) -> None:
    backbone = create_backbone(name)
    assert strides_px(backbone) == cast("FeatureInfo", backbone.feature_info).reduction() == [4, 8, 16, 32]


@pytest.mark.usefixtures("shapes_alone")
def test_stride_2_comes_before_the_others_where_a_network_has_it() -> None:
    assert strides_px(create_backbone("mobilenetv2_050", with_stride_2=True)) == [2, 4, 8, 16, 32]
    message = "convnext_atto has feature maps of strides 4, 8, 16, 32, and 2, 4, 8, 16, 32 are needed"
    with pytest.raises(ValueError, match=message):
        create_backbone("convnext_atto", with_stride_2=True)


def test_looking_up_strides_takes_no_random_numbers() -> None:
    torch.manual_seed(3)
    expected = timm.create_model("mobilenetv2_050", features_only=True, out_indices=(1, 2, 3, 4), pad_type="same")
    next_number = torch.rand(1)
    for _ in range(2):
        torch.manual_seed(3)
        found = create_backbone("mobilenetv2_050").state_dict()
        assert torch.equal(torch.rand(1), next_number)
        assert all(torch.equal(found[name], tensor) for name, tensor in expected.state_dict().items())


@pytest.mark.usefixtures("shapes_alone")
@pytest.mark.parametrize("text", ["a web page, say", None], ids=["no-safetensors", "missing"])
def test_weights_that_cannot_be_read_are_named(tmp_path: Path, text: str | None) -> None:
    path = tmp_path / "downloaded.safetensors"
    if text is not None:
        path.write_text(text)
    message = r"backbone_weights: .*downloaded\.safetensors cannot be read as a safetensors file"
    with pytest.raises(ValueError, match=message):
        create_backbone("mobilenetv2_050", str(path))
    with pytest.raises(ValueError, match=message):
        build_weaktr("deit_tiny_patch16_224", 2, SIDE_PX, WeakTrSettings(), str(path))


def test_a_file_may_leave_the_classifier_out(tmp_path: Path) -> None:
    whole = timm.create_model("tf_efficientnet_lite0").state_dict()
    path = tmp_path / "headless.safetensors"
    save_file({key: tensor for key, tensor in whole.items() if not key.startswith("classifier.")}, path)
    loaded = create_backbone("tf_efficientnet_lite0", str(path)).state_dict()
    assert all(torch.equal(tensor, whole[key]) for key, tensor in loaded.items())


@pytest.mark.parametrize(
    ("name", "contrast"),
    [("resnet18", 0.5 / 0.229), ("tf_efficientnet_lite0", 1.0), ("mobilenetv2_100", 1.0)],
)
def test_every_network_shows_a_backbone_the_contrast_that_it_knows(name: str, contrast: float) -> None:
    sizes = RcnnSettings(8, 8, ((8,), (16,), (32,)), 32, 0, 0, 8, 8)
    for net in (FeaturePyramid(create_backbone(name), 8), Pyramid(create_backbone(name), sizes)):
        seen: list[torch.Tensor] = []
        net.backbone.register_forward_pre_hook(lambda _, given, seen=seen: seen.append(given[0]))
        red_u8 = torch.tensor([228, 128, 128], dtype=torch.uint8).expand(1, 64, 64, 3)
        with torch.no_grad():
            net(red_u8 if isinstance(net, Pyramid) else normalise_image(red_u8))
        assert seen[0][0, :, 5, 5].tolist() == pytest.approx([100 / 127.5 * contrast, 0, 0], abs=1e-6)
