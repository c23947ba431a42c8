"""``weaksam train``: the whole path from a config, or one stage by its name.

Every command reads its settings before it imports torch, which takes many seconds, and before it reads data.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from models.config import load_config
from training.data.open_dataset import open_dataset
from training.data.open_together import OpenedData, open_together, with_learnt_labels
from training.runs.console import console
from weaksam.files.atomic import write_json
from weaksam.files.full_disk import writing_into

WHOLE_PATH = "run"


class PathOrStage(TyperGroup):
    """Runs the whole path for `weaksam train CONFIG.toml`, or a stage for `weaksam train STAGE`."""

    def resolve_command(self, ctx: Any, args: list[str]) -> tuple[Any, Any, list[str]]:
        return super().resolve_command(ctx, command_first(args))


def command_first(words: list[str]) -> list[str]:
    """Return the words with the stage's name first; options may stand before it, or before a config."""
    for index, word in enumerate(words):
        is_value = index > 0 and words[index - 1].startswith("-") and "=" not in words[index - 1]
        if word.startswith("-") or is_value:
            continue
        return [WHOLE_PATH, *words] if word.endswith(".toml") else [word, *words[:index], *words[index + 1 :]]
    return words


train_app = typer.Typer(
    cls=PathOrStage,
    help="Train from tagged images: the whole path with `weaksam train CONFIG.toml --out RUN`, or a single stage. "
    "`weaksam train run --help` has the options of the whole path, COMMAND --help those of a stage.",
    no_args_is_help=True,
    add_completion=False,
    context_settings={"ignore_unknown_options": True},  # options before the stage are the stage's
)

ConfigOption = Annotated[Path, typer.Option("--config", help="TOML file with the stage's settings.")]
OutOption = Annotated[Path, typer.Option("--out", help="Folder of the run; a killed run in it is resumed.")]
SetOption = Annotated[list[str] | None, typer.Option("--set", help="key=value that wins over the config; repeatable.")]
DataOption = Annotated[list[Path], typer.Option("--data", help="Folder of tagged images; repeatable.")]


@train_app.command(WHOLE_PATH)
def run_command(
    config: Annotated[Path, typer.Argument(help="TOML file with a section for each stage.")],
    out: OutOption,
    override: SetOption = None,
) -> None:
    """Run the whole path: classifier, proposals, detectors, evaluation, bundle, report. Finished stages are skipped."""
    from training.pipeline.config import load_pipeline

    settings = load_pipeline(config, override or ())
    from training.pipeline.run import run_pipeline
    from training.runs.ranks import is_first_rank

    with writing_into(out):
        report = run_pipeline(settings, out)
    if is_first_rank():
        bundle = report.parent / "bundle"
        console.print(f"wrote {report}: look at it first")
        console.print(f"wrote {bundle}: serve it with `weaksam serve --bundle {bundle}`")


@train_app.command("sam")
def sam_command(config: ConfigOption, out: OutOption, override: SetOption = None) -> None:
    """Train the compact SAM, class-agnostic, on generated images and on photographs with masks."""
    from training.sam.config import SamConfig

    settings = load_config(SamConfig, config, override or ())
    from training.sam.train import train_sam

    with writing_into(out):
        checkpoint = train_sam(settings, out)
    console.print(f"wrote {checkpoint}")


@train_app.command("sam-average")
def sam_average_command(
    run: Annotated[Path, typer.Option(help="Folder of a finished `weaksam train sam`.")],
    other: Annotated[Path, typer.Option(help="Bundle or checkpoint to go back towards, such as the one before.")],
    out: Annotated[Path, typer.Option("--out", help="Folder of the averaged run.")],
    share: Annotated[float, typer.Option(help="Share of the other's weights, between 0 and 1.")] = 0.3,
) -> None:
    """Average two compact SAMs' weights, so that one that learnt new images keeps what the other knew."""
    from training.sam.average import average_sam

    with writing_into(out):
        checkpoint = average_sam(run, other, share, out)
    console.print(f"wrote {checkpoint}")


@train_app.command("sam-quality")
def sam_quality_command(
    run: Annotated[Path, typer.Option(help="Folder of a finished `weaksam train sam` or `sam-average`.")],
    config: ConfigOption,
    out: Annotated[Path, typer.Option("--out", help="Folder of the run to write.")],
    override: SetOption = None,
) -> None:
    """Let a finished compact SAM learn to rank its masks, from `steps` batches; nothing else of it changes."""
    from training.sam.config import SamConfig

    settings = load_config(SamConfig, config, override or ())
    from training.sam.quality import learn_quality

    with writing_into(out):
        checkpoint = learn_quality(settings, run, out)
    console.print(f"wrote {checkpoint}")


@train_app.command("sam-report")
def sam_report_command(
    run: Annotated[Path, typer.Option(help="Folder of a finished `weaksam train sam`, or of a bundle.")],
    data: Annotated[Path, typer.Option(help="Data set with true masks.")],
    json_out: Annotated[Path, typer.Option("--json", dir_okay=False, help="File for the report, as JSON.")],
    split: Annotated[str, typer.Option(help="Split to measure on.")] = "test",
    per_image: Annotated[int | None, typer.Option(min=1, help="Measure at most this many objects of an image.")] = None,
    images_out: Annotated[
        Path | None, typer.Option("--images", help="Folder for images of the best, middling and worst masks.")
    ] = None,
    zoom: Annotated[bool, typer.Option("--zoom", help="Look at small objects again, enlarged.")] = False,
) -> None:
    """Measure a compact SAM's masks from points and boxes, by size and domain, beside filled boxes and GrabCut."""
    from training.sam.report import report_sam
    from training.sam.report_images import draw_report

    rows = report_sam(run, open_dataset(data, split).images, json_out, per_image, zoom=zoom)
    if images_out is not None:
        draw_report(run, rows, images_out, zoom=zoom)


@train_app.command("cam")
def cam_command(config: ConfigOption, data: DataOption, out: OutOption, override: SetOption = None) -> None:
    """Train the CAM classifier from tags."""
    from training.classifier.config import CamConfig

    settings = load_config(CamConfig, config, override or ())
    from training.classifier.train import train_cam

    fit, held_out = _open_to_train(data)
    with writing_into(out):
        checkpoint = train_cam(settings, fit.images, held_out.images, fit.labels, out)
    console.print(f"wrote {checkpoint}")


@train_app.command("cam-compare")
def cam_compare_command(
    run: Annotated[list[Path], typer.Option(help="Folder of a finished `weaksam train cam`; repeatable.")],
    data: DataOption,
    json_out: Annotated[Path, typer.Option("--json", dir_okay=False, help="Where the figures go.")],
    split: Annotated[str, typer.Option(help="Split to measure on.")] = "test",
    scale: Annotated[list[float] | None, typer.Option(help="Scale that maps are averaged over; repeatable.")] = None,
    flip: Annotated[bool, typer.Option(help="Average over mirror images as well.")] = False,
) -> None:
    """Compare classifiers, such as CNN CAM and WeakTr: tags, where their maps point, and their peaks."""
    from training.classifier.compare import compare_cams

    report = compare_cams(run, _open(data, split).images, scale or [1.0], flip)
    write_json(json_out, report)
    console.print_json(data=report)


@train_app.command("wsod")
def wsod_command(
    config: ConfigOption,
    data: DataOption,
    out: OutOption,
    cam: Annotated[
        Path, typer.Option(help="Folder of a finished `weaksam train cam`, or a bundle: its features are used.")
    ],
    proposals: Annotated[Path, typer.Option(help="Bundle that makes the proposals (`weaksam export` without --wsod).")],
    store: Annotated[Path, typer.Option(help="Folder where proposals are kept for further runs.")] = Path(
        "runs/proposals"
    ),
    override: SetOption = None,
) -> None:
    """Train the weakly supervised detector: --set method=wsddn, oicr or mist; its twin with --set supervision=boxes."""
    from training.wsod.config import WsodConfig

    settings = load_config(WsodConfig, config, override or ())
    from training.runs.cam_file import cam_file
    from training.wsod.train import train_wsod

    weights = cam_file(cam)
    fit, held_out = _open_to_train(data)
    with writing_into(out):
        checkpoint = train_wsod(settings, weights, proposals, fit.images, held_out.images, fit.labels, store, out)
    console.print(f"wrote {checkpoint}")


@train_app.command("pgt")
def pgt_command(
    config: ConfigOption,
    data: DataOption,
    bundle: Annotated[Path, typer.Option(help="Bundle whose detector labels the images (`weaksam export --wsod`).")],
    out: Annotated[Path, typer.Option("--out", help="Folder of the COCO data set; a killed run in it is resumed.")],
    split: Annotated[str, typer.Option(help="Split to label: fit leaves the validation images out.")] = "fit",
    store: Annotated[
        Path | None, typer.Option(help="Folder where detections are kept, for further modes; default: in --out.")
    ] = None,
    override: SetOption = None,
) -> None:
    """Turn tagged images into pseudo ground truth, a COCO data set that any trainer reads."""
    from training.pseudo_labels.config import PseudoLabelConfig

    settings = load_config(PseudoLabelConfig, config, override or ())
    from training.pseudo_labels.dataset import ANNOTATIONS_JSON
    from training.pseudo_labels.make import make_pseudo_labels_together
    from training.runs.devices import start_fabric
    from training.runs.ranks import is_first_rank

    start_fabric("32-true", seed=0)  # joins the ranks; nothing is drawn at random
    opened = _open(data, split)
    with writing_into(out):
        make_pseudo_labels_together(settings, bundle, opened.images, opened.labels, out, store)
    if is_first_rank():
        console.print(f"wrote {out / ANNOTATIONS_JSON}")


@train_app.command("detector")
def detector_command(
    config: ConfigOption,
    data: DataOption,
    out: OutOption,
    annotations: Annotated[
        list[Path] | None,
        typer.Option(
            help="COCO file of `weaksam train pgt`, repeatable. Needless with supervision=boxes, for the twin."
        ),
    ] = None,
    override: SetOption = None,
) -> None:
    """Retrain a detector, or with masks an instance segmenter, on pseudo ground truth with RoI drop."""
    from training.detector.config import DetectorConfig

    settings = load_config(DetectorConfig, config, override or ())
    from training.detector.report import report_detector
    from training.detector.train import train_detector
    from training.runs.ranks import is_first_rank

    fit, held_out = _open_to_train(data)
    with writing_into(out):
        checkpoint = train_detector(settings, fit.images, fit.labels, annotations or (), out)
        if is_first_rank():
            report_detector(out, held_out.images)
    console.print(f"wrote {checkpoint}")


@train_app.command("detector-report")
def detector_report_command(
    run: Annotated[Path, typer.Option(help="Folder of a finished `weaksam train detector`.")],
    data: DataOption,
    json_out: Annotated[Path, typer.Option("--json", dir_okay=False, help="Where the figures go.")],
    split: Annotated[str, typer.Option(help="Split to measure on.")] = "test",
) -> None:
    """Measure a detector or instance segmenter, without a bundle: AP of boxes and of its own masks, tags given."""
    from training.detector.report import measure_detector

    report = measure_detector(run, _open(data, split).images)
    write_json(json_out, report)
    console.print_json(data=report)


def _open_to_train(folders: list[Path]) -> tuple[OpenedData, OpenedData]:
    """Open what is learnt from and what is held out, the second with the classes of the first."""
    fit = _open(folders, "fit")
    return fit, _with_problems_printed(with_learnt_labels(open_together(folders, "val"), fit.labels))


def _open(folders: list[Path], split: str) -> OpenedData:
    return _with_problems_printed(open_together(folders, split))


def _with_problems_printed(opened: OpenedData) -> OpenedData:
    from training.runs.problems import print_problems

    print_problems(opened.problems, opened.notes)
    return opened
