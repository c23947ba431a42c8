"""`weaksam bundle`: look into a bundle, check that it is whole."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from models.bundle import DEFAULT_BUNDLE, Bundle, GraphSpec, TensorSpec, load_bundle

bundle_app = typer.Typer(help="Show or check a bundle of exported models.", no_args_is_help=True)

FolderArgument = Annotated[Path, typer.Argument(help="Folder of the bundle.", show_default="the one installed")]


@bundle_app.command()
def check(folder: FolderArgument = DEFAULT_BUNDLE) -> None:
    """Check that every field and file of a bundle is there and unchanged; exit status 2 where one is not."""
    bundle = load_bundle(folder)
    typer.echo(f"{bundle.name} {bundle.version} is whole: {len(bundle.graphs)} graphs, {len(bundle.labels)} labels")


@bundle_app.command()
def show(folder: FolderArgument = DEFAULT_BUNDLE) -> None:
    """Show the graphs, labels, thresholds and provenance of a bundle."""
    bundle = load_bundle(folder)
    console = Console()
    console.print(f"{bundle.name} {bundle.version}, digest {bundle.digest}", soft_wrap=True, highlight=False)
    for table in (_graphs(bundle), _labels(bundle), _settings(bundle)):
        console.print(table)


def _graphs(bundle: Bundle) -> Table:
    table = Table("graph", "input", "output", "size", "to torch", title="Graphs")
    for name, spec in bundle.graphs.items():
        size_mb = (bundle.folder / spec.file).stat().st_size / 1e6
        table.add_row(name, _tensors(spec.inputs), _tensors(spec.outputs), f"{size_mb:.1f} MB", _differences(spec))
    return table


def _labels(bundle: Bundle) -> Table:
    table = Table("label", "also", "classifier", "score", title="Labels and their thresholds")
    columns = (bundle.labels, bundle.thresholds.classifier, bundle.thresholds.score)
    for label, classifier, score in zip(*columns, strict=True):
        table.add_row(label.name, ", ".join(label.aliases), f"{classifier:.3f}", f"{score:.3f}")
    return table


def _settings(bundle: Bundle) -> Table:
    table = Table("setting", "value", title="Settings and provenance")
    groups: dict[str, dict[str, Any]] = {
        "prompts": vars(bundle.prompts),
        "post": vars(bundle.post),
        "provenance": dict(bundle.provenance),
    }
    for group, values in groups.items():
        for name, value in values.items():
            table.add_row(f"{group}.{name}", str(value))
    return table


def _tensors(specs: tuple[TensorSpec, ...]) -> str:
    return "\n".join(f"{spec.name} {spec.dtype} [{','.join(map(str, spec.shape))}]" for spec in specs)


def _differences(spec: GraphSpec) -> str:
    return "\n".join(f"{value:.1e}" for value in spec.max_abs_difference.values())
