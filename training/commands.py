"""``weaksam train``: one command for each stage."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from models.config import load_config
from models.labels import Label, LabelSet
from training.data.open_dataset import open_dataset
from training.data.tagged import TaggedImage

train_app = typer.Typer(help="Train each stage from tagged pictures.", no_args_is_help=True)
console = Console(stderr=True)

ConfigOption = Annotated[Path, typer.Option("--config", help="TOML file with the stage's settings.")]
OutOption = Annotated[Path, typer.Option("--out", help="Folder of the run; a killed run in it is resumed.")]
SetOption = Annotated[list[str] | None, typer.Option("--set", help="key=value that wins over the config; repeatable.")]
DataOption = Annotated[list[Path], typer.Option("--data", help="Folder of tagged pictures; repeatable.")]


@train_app.command("sam")
def sam_command(config: ConfigOption, out: OutOption, override: SetOption = None) -> None:
    """Pre-train the compact SAM, class-agnostic, on generated pictures."""
    from training.train_sam import SamConfig, train_sam

    console.print(f"wrote {train_sam(load_config(SamConfig, config, override or ()), out)}")


@train_app.command("sam-report")
def sam_report_command(
    run: Annotated[Path, typer.Option(help="Folder of a finished `weaksam train sam`.")],
    data: Annotated[Path, typer.Option(help="Data set with true masks.")],
    json_out: Annotated[Path, typer.Option("--json", help="Where the report goes.")],
    split: str = "test",
) -> None:
    """Measure the masks that a compact SAM ranks first, from points and from boxes, by object size."""
    from training.sam_report import report_sam

    report_sam(run, open_dataset(data, split).images, json_out)


@train_app.command("cam")
def cam_command(config: ConfigOption, data: DataOption, out: OutOption, override: SetOption = None) -> None:
    """Train the CAM classifier from tags."""
    from training.train_cam import CamConfig, train_cam

    images, labels = open_together(data, "fit")
    held_out, _ = open_together(data, "val")
    settings = load_config(CamConfig, config, override or ())
    console.print(f"wrote {train_cam(settings, images, held_out, labels, out)}")


@train_app.command("wsod")
def wsod_command(
    config: ConfigOption,
    data: DataOption,
    out: OutOption,
    cam: Annotated[Path, typer.Option(help="Folder of a finished `weaksam train cam`, whose features are used.")],
    proposals: Annotated[Path, typer.Option(help="Bundle that makes the proposals (`weaksam export` without --wsod).")],
    store: Annotated[Path, typer.Option(help="Folder where proposals are kept for further runs.")] = Path(
        "runs/proposals"
    ),
    override: SetOption = None,
) -> None:
    """Train the weakly supervised detector (OICR), or its supervised twin with --set supervision=boxes."""
    from training.train_wsod import WsodConfig, train_wsod

    images, labels = open_together(data, "fit")
    held_out, _ = open_together(data, "val")
    settings = load_config(WsodConfig, config, override or ())
    checkpoint = train_wsod(settings, cam / "cam.safetensors", proposals, images, held_out, labels, store, out)
    console.print(f"wrote {checkpoint}")


def open_together(folders: list[Path], split: str) -> tuple[list[TaggedImage], LabelSet]:
    """The pictures of several data sets and the union of their labels, in order of first appearance.

    Problems that the readers found are printed; raises ValueError where no usable picture is left.
    """
    data_sets = [open_dataset(folder, split) for folder in folders]
    for data_set in data_sets:
        for problem in data_set.problems:
            console.print(f"{problem.file}: {problem.field}: {problem.message}", style="yellow", highlight=False)
    images = [image for data_set in data_sets for image in data_set.images if image.tags]
    if not images:
        raise ValueError(f"data: no usable picture with tags in {', '.join(map(str, folders))} (split {split})")
    names = dict.fromkeys(name for data_set in data_sets for name in data_set.labels)
    return images, LabelSet(tuple(Label(name) for name in names))
