from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from models.config import ConfigError, load_config
from models.settings import BundleConfig
from training.classifier.config import CamConfig
from training.detector.config import DetectorConfig
from training.pipeline.config import PipelineConfig, load_pipeline
from training.pseudo_labels.config import PseudoLabelConfig
from training.sam.config import SamConfig
from training.wsod.config import WsodConfig

CONFIGS = Path(__file__).resolve().parents[4] / "training" / "configs"
STAGES = {
    "sam": SamConfig,
    "cam": CamConfig,
    "wsod": WsodConfig,
    "pgt": PseudoLabelConfig,
    "detector": DetectorConfig,
    "segmenter": DetectorConfig,
}
WHOLE_PATHS = [*sorted(CONFIGS.glob("*.toml")), *sorted(CONFIGS.glob("paper/*.toml"))]


@pytest.mark.parametrize("path", WHOLE_PATHS, ids=lambda path: path.stem)
def test_every_config_of_the_whole_path_can_be_loaded(path: Path) -> None:
    assert isinstance(load_pipeline(path), PipelineConfig)


@pytest.mark.parametrize("path", sorted(CONFIGS.glob("stages/*.toml")), ids=lambda path: path.stem)
def test_every_config_of_a_stage_can_be_loaded(path: Path) -> None:
    assert load_config(STAGES[path.stem.partition("_")[0]], path) is not None


def test_no_config_lies_elsewhere() -> None:
    assert len(WHOLE_PATHS) + len(list(CONFIGS.glob("stages/*.toml"))) == len(list(CONFIGS.rglob("*.toml")))


def test_the_default_bundle_is_made_with_the_settings_that_single_stages_export_with() -> None:
    exported = load_config(BundleConfig, CONFIGS.parents[1] / "deploy" / "configs" / "default.toml")
    assert replace(load_pipeline(CONFIGS / "default.toml").bundle, licences={}) == exported


def test_one_seed_for_all_stages_that_have_none_of_their_own() -> None:
    config = load_pipeline(CONFIGS / "smoke.toml", ["seed=3", "wsod.seed=11"])
    assert config.detector is not None
    assert [config.seed, config.cam.seed, config.wsod.seed, config.detector.seed] == [3, 3, 11, 3]


def test_sections_can_be_left_out() -> None:
    settings = ["pgt=none", "detector=none", "segmenter=none", "bundle.post.mask_source=proposal"]
    config = load_pipeline(CONFIGS / "smoke.toml", settings)
    assert (config.pgt, config.detector, config.segmenter) == (None, None, None)
    with pytest.raises(ConfigError, match="detector: it learns from pseudo ground truth"):
        load_pipeline(CONFIGS / "smoke.toml", ["pgt=none"])


@pytest.mark.parametrize(
    ("override", "message"),
    [
        pytest.param("cam.stpes=3", "cam: unknown key 'stpes': did you mean 'steps'", id="misspelt"),
        pytest.param("detectr.steps=3", "unknown key 'detectr': did you mean 'detector'", id="misspelt-section"),
        pytest.param("cam.steps='many'", r"cam\.steps is 'many': must be a whole number", id="type"),
        pytest.param("wsod.side_px=128", r"wsod\.side_px: is 128, the classifier's is 96", id="sides"),
        pytest.param("cam.backbone=resnet18", r"wsod\.backbone: is 'mobilenetv2_100', and 'resnet18'", id="features"),
        pytest.param("detector.net.backbone=resnet18", r"detector\.net\.backbone: is 'resnet18'", id="heads"),
        pytest.param("segmenter.rcnn.mask_channels=0", r"segmenter\.rcnn\.mask_channels: is 0", id="no-masks"),
        pytest.param("detector.train_sides_px=[100]", "detector: train_sides_px: must be multiples of 32", id="side"),
        pytest.param("detector.train_sides_px=[]", "detector: train_sides_px: give at least one side", id="no-sides"),
        pytest.param(
            "cam.background_share=0", r"cam: background_share: must be above 0, at most 1, got 0\.0", id="no-ground"
        ),
        pytest.param("bundle.map_scales=[]", r"bundle: map_scales: is \[\], take factors above 0", id="no-scales"),
        pytest.param(
            "bundle.prompts.cross_clusters_share=0", r"bundle\.prompts: cross_clusters_share: is 0\.0", id="no-clusters"
        ),
        pytest.param("wsod={method='wsddn', supervision='boxes'}", "wsod: supervision: WSDDN learns", id="no-twin"),
        pytest.param("detector.dfine.channels=30", r"detector\.dfine: channels: must be a multiple of", id="heads-of"),
        pytest.param(
            "detector.architecture=dino", r"detector\.architecture is 'dino': must be 'faster_rcnn'", id="network"
        ),
        pytest.param("segmenter.architecture=dfine", r"segmenter\.architecture: dfine learns no masks", id="maskless"),
        pytest.param(
            "detector.drop={unit='quantile', rpn=4.0}", r"detector\.drop: quantiles must be in 0\.\.1", id="quantile"
        ),
    ],
)
def test_a_setting_that_cannot_be_used_is_named(override: str, message: str) -> None:
    with pytest.raises(ConfigError, match=rf"smoke\.toml: {message}"):
        load_pipeline(CONFIGS / "smoke.toml", [override])


@pytest.mark.parametrize(
    ("override", "message"),
    [
        pytest.param("seed=-1", r"seed is -1: must be at least 0", id="seed"),
        pytest.param("test_limit=-1", r"test_limit is -1: must be at least 1", id="limit"),
        pytest.param("data.val_limit=0", r"data\.val_limit is 0: must be at least 1", id="val"),
        pytest.param("report.best=-1", r"report\.best is -1: must be at least 0", id="report"),
        pytest.param("cam.lr=-1", r"cam\.lr is -1: must be at least 0", id="lr"),
        pytest.param("cam.lr=nan", r"cam\.lr is NaN: must be a finite number", id="nan"),
        pytest.param("cam.mosaic_prob=1.5", r"cam\.mosaic_prob is 1\.5: must be at most 1", id="share"),
        pytest.param("cam.checkpoint_steps=0", r"cam\.checkpoint_steps is 0: must be at least", id="checkpoints"),
        pytest.param(
            "cam.loss_weights.loss_tags=-1", r"cam\.loss_weights\.loss_tags is -1: must be at least", id="weight"
        ),
        pytest.param("cam.weaktr.fusion_reduction=0", r"cam\.weaktr\.fusion_reduction is 0: must be", id="weaktr"),
        pytest.param("wsod.subsample=0", r"wsod\.subsample is 0: must be at least 1", id="subsample"),
        pytest.param("wsod.epochs=0", r"wsod\.epochs is 0: must be at least 1", id="epochs"),
        pytest.param("wsod.mist.seed_share=-1", r"wsod\.mist\.seed_share is -1: must be at least", id="mist"),
        pytest.param("pgt.keep_share=2", r"pgt\.keep_share is 2: must be at most 1", id="rule"),
        pytest.param("pgt.subsample=0", r"pgt\.subsample is 0: must be at least 1", id="pgt"),
        pytest.param("detector.batch=0", r"detector\.batch is 0: must be at least 1", id="batch"),
        pytest.param("detector.loader_workers=-1", r"detector\.loader_workers is -1: must be", id="workers"),
        pytest.param("detector.rcnn.rois=0", r"detector\.rcnn\.rois is 0: must be at least", id="rois"),
        pytest.param("detector.dfine.heads=0", r"detector\.dfine\.heads is 0: must be at least", id="heads"),
    ],
)
def test_a_number_out_of_its_range_is_named_before_anything_is_trained(override: str, message: str) -> None:
    with pytest.raises(ConfigError, match=rf"smoke\.toml: {message}"):
        load_pipeline(CONFIGS / "smoke.toml", [override])


RCNN = "loss_objectness, loss_rpn_box, loss_class, loss_box"
DFINE = "loss_class, loss_box, loss_giou, loss_corners, loss_distillation"
REFINED = "loss_wsddn, loss_refine_1, loss_refine_2, loss_refine_3"


@pytest.mark.parametrize(
    ("section", "settings", "terms"),
    [
        pytest.param("cam", (), "loss_tags, loss_background", id="cnn"),
        pytest.param("wsod", (), f"{REFINED}, loss_box", id="oicr"),
        pytest.param("wsod", ("method=wsddn",), "loss_wsddn", id="wsddn"),
        pytest.param("wsod", ("method=mist",), f"{REFINED}, loss_box_1, loss_box_2, loss_box_3", id="mist"),
        pytest.param("wsod", ("method=mist", "supervision=boxes"), f"{REFINED}, loss_box", id="twin"),
        pytest.param("detector", (), RCNN, id="faster_rcnn"),
        pytest.param("segmenter", (), f"{RCNN}, loss_mask", id="mask_rcnn"),
        pytest.param("detector", ("architecture=dfine",), f"{DFINE}, loss_denoising", id="dfine"),
        pytest.param("detector", ("architecture=dfine", "dfine.denoising=0"), DFINE, id="without-denoising"),
        pytest.param("segmenter", ("architecture=mask2former",), "loss_class, loss_mask, loss_dice", id="mask2former"),
    ],
)
def test_a_weight_of_no_loss_term_is_named_before_anything_is_trained(
    section: str, settings: tuple[str, ...], terms: str
) -> None:
    overrides = [f"{section}.{setting}" for setting in (*settings, "loss_weights.loss_clas=2.0")]
    message = f"smoke.toml: {section}: loss_weights: there is no term 'loss_clas', the terms are {terms}"
    with pytest.raises(ConfigError) as raised:
        load_pipeline(CONFIGS / "smoke.toml", overrides)
    assert str(raised.value).endswith(message)
    known = terms.rsplit(", ", maxsplit=1)[-1]
    config = load_pipeline(CONFIGS / "smoke.toml", [*overrides[:-1], f"{section}.loss_weights.{known}=2.0"])
    assert getattr(config, section).loss_weights[known] == 2.0


def test_so_is_one_of_weaktr_and_of_the_compact_sam() -> None:
    with pytest.raises(ConfigError, match="no term 'loss_tags', the terms are loss_class_tokens, loss_coarse"):
        load_config(CamConfig, CONFIGS / "stages/cam_weaktr_small.toml", ["loss_weights.loss_tags=2.0"])
    with pytest.raises(ConfigError, match="no term 'loss_prompt_map', the terms are loss_focal"):
        load_config(SamConfig, CONFIGS / "stages/sam.toml", ["prompt_map=false", "loss_weights.loss_prompt_map=2.0"])


@pytest.mark.parametrize("override", ["batch_images=0", "point_share=2.0", "sources=[{data='x', weight=-1.0}]"])
def test_so_is_one_of_the_compact_sam(override: str) -> None:
    with pytest.raises(ConfigError, match=r"must be at (least|most) [01]"):
        load_config(SamConfig, CONFIGS / "stages/sam.toml", [override])


@pytest.mark.parametrize(
    ("override", "message"),
    [
        pytest.param("bundle.post.mask_source='detector'", "'detector' needs masks, give a section", id="no-segmenter"),
        pytest.param("cam.architecture='weaktr'", "features: WeakTr has none", id="no-features"),
    ],
)
def test_parts_that_need_another_say_so(override: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        load_pipeline(CONFIGS / "fod_a.toml", [override])


@pytest.mark.parametrize(
    ("cut", "message"),
    [
        pytest.param("[data.scenes]\ncount = 25\nheight_px = 96\nwidth_px = 128", r"data\.folders: give", id="no-data"),
        pytest.param('[pgt]\nmode = "adaptive"\nkeep_share = 0.3', "detector: it learns from pseudo", id="no-pgt"),
    ],
)
def test_a_section_that_is_missing_is_named(cut: str, message: str, tmp_path: Path) -> None:
    text = (CONFIGS / "smoke.toml").read_text()
    assert cut in text
    empty = "[data]\n" if "data" in cut else ""
    shutil.copytree(CONFIGS, tmp_path / "configs")
    path = tmp_path / "configs" / "x.toml"
    path.write_text(text.replace(cut, empty))
    with pytest.raises(ConfigError, match=message):
        load_pipeline(path)
