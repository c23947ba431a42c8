"""Settings of the whole path, one TOML file: a section for each stage."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from models.bundle import DETECTOR, WSOD
from models.config import ConfigError, config_from_values, read_values
from models.ranges import Seed, WholeFrom0, WholeFrom1
from models.settings import BundleConfig
from training.classifier.config import CamConfig
from training.detector.config import DetectorConfig
from training.pipeline.stages import FEATURES, SEGMENTER, TRAININGS
from training.pseudo_labels.config import PseudoLabelConfig
from training.wsod.config import WsodConfig

NO_TEST = "none"


@dataclass(frozen=True)
class ScenesConfig:
    """Generated scenes, as `weaksam data scenes` draws them; the last fifth is for testing."""

    count: WholeFrom1
    height_px: WholeFrom1
    width_px: WholeFrom1


@dataclass(frozen=True)
class MosaicsConfig:
    """2x2 mosaics in place of the images of ``folders``, as `weaksam data mosaics` makes them of each split."""

    fit: WholeFrom1
    val: WholeFrom1
    test: WholeFrom1


@dataclass(frozen=True)
class DataConfig:
    """What is learnt from and measured on.

    Attributes:
        folders: data sets in any layout that `open_dataset` reads; several are learnt together and measured one by one.
        fit: split that is learnt from.
        val: split that thresholds are chosen on, from its tags.
        test: split that is measured on, which needs boxes; `NO_TEST` where nothing has any.
        val_limit: calibrate on so many images of ``val`` at most, evenly spread.
        scenes: generate scenes and take them as one more data set.
        mosaics: make mosaics of the first folder and take them in its place.
        background: labels that mean "none of the classes", such as "no crack": their images are negatives.
        on_bad_image: what is done if an image cannot be decoded: it is left out and reported ("skip", for at most 1 %
            of the images), or nothing is trained ("stop").
    """

    folders: tuple[Path, ...] = ()
    fit: str = "fit"
    val: str = "val"
    test: str = "test"
    val_limit: WholeFrom1 | None = None
    scenes: ScenesConfig | None = None
    mosaics: MosaicsConfig | None = None
    background: tuple[str, ...] = ()
    on_bad_image: Literal["skip", "stop"] = "skip"


@dataclass(frozen=True)
class ReportConfig:
    """The report's images: ``best`` and ``worst`` so many of the test images, and those with the ids ``chosen``."""

    best: WholeFrom0 = 4
    worst: WholeFrom0 = 4
    chosen: tuple[str, ...] = ()


@dataclass(frozen=True)
class PipelineConfig:
    """Settings of `run_pipeline`.

    Attributes:
        seed: of generated data, and of every stage whose section has none of its own.
        data: what is learnt from and measured on.
        bundle: name, prompts and post-processing of the bundles; ``mask_source`` "detector" is for the segmenter's, the
            others then take masks of proposals.
        cam: the classifier.
        wsod: the weakly supervised detector.
        features: a CNN classifier for the weak detector's features, where ``cam`` is a WeakTr, which has none.
        pgt: pseudo ground truth for the two that follow; without it the path ends with the weak detector.
        detector: the retrained detector.
        segmenter: the instance segmenter: the same training, with a mask head.
        heads_from_cam: begin the backbones of detector and segmenter with the CNN classifier's.
        sam: folder of a trained compact SAM, a bundle, a published checkpoint, or its name in `weaksam weights list`,
            which is then downloaded into ``weights/``; by default the default bundle's.
        objectness_from_sam: CNN classifiers learn where the segmenter sees objects, see `CamConfig`. The default
            bundle's compact SAM stands in for a segmenter without a prompt map.
        sam_side_px: side of a published segmenter's input, if its weights allow others.
        sam_prompts: "fitted" scales ``bundle.prompts`` from the default bundle's segmenter to a published one, with
            grids and thresholds as suit that one, and lets any without a prompt map be asked a whole grid;
            "as_written" takes them as they are.
        test_limit: measure on the first so many test images of each data set.
        report: what the report shows.
    """

    seed: Seed
    data: DataConfig
    bundle: BundleConfig
    cam: CamConfig
    wsod: WsodConfig
    features: CamConfig | None = None
    pgt: PseudoLabelConfig | None = None
    detector: DetectorConfig | None = None
    segmenter: DetectorConfig | None = None
    heads_from_cam: bool = False
    objectness_from_sam: bool = False
    sam: Path | None = None
    sam_side_px: WholeFrom1 | None = None
    sam_prompts: Literal["fitted", "as_written"] = "fitted"
    test_limit: WholeFrom1 | None = None
    report: ReportConfig = field(default_factory=ReportConfig)


def load_pipeline(path: Path, overrides: Sequence[str] = ()) -> PipelineConfig:
    """Read the settings of the whole path; raises ConfigError as `models.config.load_config` does."""
    values = read_values(path, overrides)
    for name in TRAININGS:
        if isinstance(values.get(name), dict) and "seed" in values:
            values[name] = {"seed": values["seed"]} | values[name]
    config = config_from_values(PipelineConfig, values, str(path))
    _check(config, path)
    return config


def _check(config: PipelineConfig, path: Path) -> None:
    data = config.data
    if not data.folders and data.scenes is None:
        raise ConfigError(f"{path}: data.folders: give at least one folder, or a section [data.scenes]")
    if data.mosaics is not None and not data.folders:
        raise ConfigError(f"{path}: data.mosaics: give the folder to make them of in data.folders")
    if (config.features or config.cam).architecture != "cnn":
        raise ConfigError(
            f"{path}: features: WeakTr has none for the weak detector, give a section of a CNN classifier"
        )
    if config.bundle.post.mask_source == "detector" and config.segmenter is None:
        raise ConfigError(f"{path}: bundle.post.mask_source: 'detector' needs masks, give a section [segmenter]")
    _check_sides(config, path)
    _check_backbones(config, path)
    for name in (DETECTOR, SEGMENTER):
        if getattr(config, name) is not None and config.pgt is None:
            raise ConfigError(f"{path}: {name}: it learns from pseudo ground truth, give a section [pgt]")
    if config.segmenter is not None and config.segmenter.architecture == "dfine":
        raise ConfigError(f"{path}: segmenter.architecture: dfine learns no masks: take mask_rcnn or mask2former")
    if config.segmenter is not None and not config.segmenter.has_masks:
        raise ConfigError(f"{path}: segmenter.rcnn.mask_channels: is 0, so that it would learn no masks: take 64, say")


def _check_sides(config: PipelineConfig, path: Path) -> None:
    """Boxes are in pixels of the classifier's input, and one image feeds all graphs of classes."""
    for name in (FEATURES, WSOD, DETECTOR, SEGMENTER):
        section = getattr(config, name)
        if section is not None and section.side_px != config.cam.side_px:
            raise ConfigError(
                f"{path}: {name}.side_px: is {section.side_px}, the classifier's is {config.cam.side_px}: "
                "take one for both"
            )


def _check_backbones(config: PipelineConfig, path: Path) -> None:
    """The weak detector has the backbone of the classifier whose features it takes; with `heads_from_cam` all have."""
    shared = (config.features or config.cam).backbone
    backbones = {WSOD: config.wsod.backbone}
    for name, section in ((f"{DETECTOR}.net", config.detector), (f"{SEGMENTER}.net", config.segmenter)):
        if config.heads_from_cam and section is not None:
            backbones[name] = section.net.backbone
    for name, backbone in backbones.items():
        if backbone != shared:
            raise ConfigError(
                f"{path}: {name}.backbone: is {backbone!r}, and {shared!r} the classifier's, whose weights it takes"
            )
