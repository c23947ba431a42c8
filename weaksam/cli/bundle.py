"""`weaksam bundle`: look into a bundle, check that it is whole, give it another segmenter or more names of labels."""

from __future__ import annotations

import asyncio
import json
import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.table import Table

from models import label_aliases
from models.bundle import DEFAULT_BUNDLE, MANIFEST, PROPOSAL_GRAPHS, SERVED_GRAPHS, Bundle, GraphSpec, TensorSpec
from models.bundle_files.manifest import load_bundle, write_manifest
from weaksam.errors import UserError
from weaksam.files.atomic import replacing_files
from weaksam.files.full_disk import writing_into

if TYPE_CHECKING:
    from training.data.tagged import TaggedImage

bundle_app = typer.Typer(
    help="Show or check a bundle of exported models, give it another segmenter or more names of labels.",
    no_args_is_help=True,
    add_completion=False,
)

FolderArgument = Annotated[Path, typer.Argument(help="Folder of the bundle.", show_default="the one installed")]


@bundle_app.command()
def check(folder: FolderArgument = DEFAULT_BUNDLE) -> None:
    """Check that a bundle is complete and unchanged and that its graphs open; exit status 2 if not."""
    bundle = load_bundle(folder, PROPOSAL_GRAPHS)
    _open_graphs(bundle)
    typer.echo(f"{bundle.name} {bundle.version} is whole: {len(bundle.graphs)} graphs, {len(bundle.labels)} labels")
    missing = [name for name in SERVED_GRAPHS if name not in bundle.graphs]
    if missing:
        typer.echo(f"It makes proposals for training and cannot be served: there is no {', '.join(missing)}.")


@bundle_app.command()
def show(
    folder: FolderArgument = DEFAULT_BUNDLE,
    provenance: Annotated[
        bool, typer.Option("--provenance", help="Print how it was trained, as JSON, and nothing else.")
    ] = False,
) -> None:
    """Show the graphs, labels, thresholds and settings of a bundle."""
    bundle = load_bundle(folder, PROPOSAL_GRAPHS)
    if provenance:
        typer.echo(json.dumps(bundle.provenance, indent=1))
        return
    console = Console(markup=False)
    console.print(f"{bundle.name} {bundle.version}, digest {bundle.digest}", soft_wrap=True, highlight=False)
    for table in (_graphs(bundle), _labels(bundle), _settings(bundle)):
        console.print(table)


@bundle_app.command()
def with_sam(
    sam: Annotated[
        Path,
        typer.Argument(
            help="A name of `weaksam weights list`, a checkpoint, a bundle, or a finished `weaksam train sam`."
        ),
    ],
    out: Annotated[Path, typer.Option(help="Folder of the new bundle.")],
    bundle: Annotated[
        Path, typer.Option(help="Bundle whose classes are taken.", show_default="the one installed")
    ] = DEFAULT_BUNDLE,
    name: Annotated[str | None, typer.Option(help="Name of the new bundle.", show_default="the bundle's")] = None,
    version: Annotated[str | None, typer.Option(help="Version of the new bundle.", show_default="the bundle's")] = None,
    side_px: Annotated[
        int | None,
        typer.Option(
            help="Side of the segmenter's input in pixels, if the weights allow another.", show_default="as published"
        ),
    ] = None,
    budget_ms: Annotated[
        float | None,
        typer.Option(help="Time limit for the prompts of an image, in ms; 0: none.", show_default="the bundle's"),
    ] = None,
    data: Annotated[
        list[Path] | None, typer.Option(help="Folder of tagged images to pick score thresholds on; repeatable.")
    ] = None,
    split: Annotated[str, typer.Option(help="Split of these images.")] = "val",
) -> None:
    """Write a bundle with the same classes and another segmenter; settings in pixels are scaled to its side."""
    from deploy.export.other_sam import export_with_sam
    from deploy.export.sam_sources import open_sam

    classes = load_bundle(bundle)
    images = _open_images(data, split) if data else ()
    with writing_into(out):
        segmenter = open_sam(sam, side_px)
        export_with_sam(classes, segmenter, out, name or classes.name, version or classes.version, budget_ms)
        if images:
            _recalibrate(out, images)
    thresholds = "its score thresholds fit the new ones" if data else "--data picks its score thresholds anew"
    typer.echo(
        f"wrote {out}. wsod was learnt from the other segmenter's proposals: it works, {thresholds}, and "
        f"`weaksam train own.toml --set sam={sam}` trains it anew"
    )


@bundle_app.command()
def with_aliases(
    table: Annotated[Path, typer.Argument(help="CSV with the columns `label` and `alias`, a row for each alias.")],
    out: Annotated[Path, typer.Option(help="Folder of the new bundle.")],
    bundle: Annotated[
        Path, typer.Option(help="Bundle whose labels get more names.", show_default="the one installed")
    ] = DEFAULT_BUNDLE,
    version: Annotated[str | None, typer.Option(help="Version of the new bundle.", show_default="the bundle's")] = None,
) -> None:
    """Write the same bundle with more names for its labels: a tag `spanner` then asks for the label Wrench."""
    given = load_bundle(bundle, PROPOSAL_GRAPHS)
    labels = label_aliases.with_aliases(given.labels, table)
    if out.resolve() == given.folder.resolve():
        raise UserError(f"--out: {out} is the bundle itself: give a new folder")
    with writing_into(out), replacing_files(out, MANIFEST) as draft:
        for name in given.graphs:
            shutil.copyfile(given.path(name), draft / given.graphs[name].file)
        write_manifest(replace(given, folder=draft, labels=labels, version=version or given.version))
    count = sum(len(label.aliases) for label in labels)
    typer.echo(f"wrote {out}: {len(labels)} labels with {count} aliases")


def _open_images(data: Sequence[Path], split: str) -> Sequence[TaggedImage]:
    from training.data.open_together import open_together

    return open_together(data, split).images


def _recalibrate(folder: Path, images: Sequence[TaggedImage]) -> None:
    from training.wsod.recalibrate import recalibrated

    made = load_bundle(folder)
    write_manifest(replace(made, thresholds=recalibrated(made, images)))


def _open_graphs(bundle: Bundle) -> None:
    """Raise BackendMismatch if a graph is damaged or has other inputs or outputs than the bundle says."""
    from service.backends.ort import OrtBackend

    asyncio.run(OrtBackend(bundle).aclose())


def _graphs(bundle: Bundle) -> Table:
    table = Table(title="Graphs")
    table.add_column("graph", no_wrap=True)
    for name in ("side", "input", "output", "size", "to torch"):
        table.add_column(name, overflow="fold")
    for name, spec in bundle.graphs.items():
        size_mb = (bundle.folder / spec.file).stat().st_size / 1e6
        tensors = (_tensors(spec.inputs), _tensors(spec.outputs))
        table.add_row(name, f"{spec.side_px} px", *tensors, f"{size_mb:.1f} MB", _differences(spec))
    return table


def _labels(bundle: Bundle) -> Table:
    columns = {name: values for name, values in vars(bundle.thresholds).items() if values}
    table = Table("label", "also", *columns, title="Labels and their thresholds")
    for label, *thresholds in zip(bundle.labels, *columns.values(), strict=True):
        table.add_row(label.name, ", ".join(label.aliases), *(f"{value:.3f}" for value in thresholds))
    return table


def _settings(bundle: Bundle) -> Table:
    table = Table("setting", "value", title="Settings")
    for group, settings in (("prompts", bundle.prompts), ("post", bundle.post)):
        for name, value in vars(settings).items():
            table.add_row(f"{group}.{name}", str(value))
    return table


def _tensors(specs: tuple[TensorSpec, ...]) -> str:
    return "\n".join(f"{spec.name} {spec.dtype} [{','.join(map(str, spec.shape))}]" for spec in specs)


def _differences(spec: GraphSpec) -> str:
    return "\n".join(f"{value:.1e}" for value in spec.max_abs_difference.values())
