"""The console command `weaksam`: a table of sub-commands, each imported when it is run and not before."""

from __future__ import annotations

import sys
from importlib import import_module, metadata
from typing import Annotated, Any, NamedTuple

import typer
from typer.core import TyperGroup

from weaksam.cli.os_errors import os_error_sentence
from weaksam.errors import UserError

DISTRIBUTION = "weaksam-serving"
USAGE_STATUS = 2
TRACEBACK = "--traceback"


class SubCommand(NamedTuple):
    """The place of a sub-command: a `typer.Typer`, or a function with typed arguments."""

    module: str
    attribute: str
    help: str


SUB_COMMANDS = {
    "serve": SubCommand("weaksam.cli.serve", "serve", "Run the service, which finds objects over HTTP."),
    "detect": SubCommand("weaksam.cli.detect", "detect", "Find the tagged objects in one image, without a server."),
    "label": SubCommand("weaksam.cli.labelling.label", "label", "Label a folder of tagged images through a server."),
    "label-merge": SubCommand("weaksam.cli.labelling.label", "label_merge", "Join the shards of a labelling run."),
    "label-ray": SubCommand(
        "weaksam.cli.labelling.label_ray", "label_ray", "Label a folder on a Ray cluster, without a server."
    ),
    "convert": SubCommand(
        "weaksam.cli.labelling.convert", "convert", "Write a labelling run as COCO, YOLO, VOC, CVAT, ..."
    ),
    "replay": SubCommand(
        "weaksam.cli.labelling.replay", "replay", "Run a stored labelling run again and show what is different."
    ),
    "cvat-functions": SubCommand(
        "weaksam.cli.labelling.cvat_functions",
        "cvat_functions",
        "Write functions that let CVAT's AI tools call a service.",
    ),
    "review": SubCommand(
        "weaksam.cli.labelling.review", "review", "Check a labelling run in the browser, worst images first."
    ),
    "keys": SubCommand("weaksam.cli.keys", "keys_app", "Make, list and remove the API keys of a service."),
    "bundle": SubCommand("weaksam.cli.bundle", "bundle_app", "Show or check a bundle, give it another segmenter."),
    "train": SubCommand("weaksam.cli.train", "train_app", "Train from tagged images, the whole path or a stage."),
    "evaluate": SubCommand("weaksam.cli.evaluation.evaluate", "evaluate", "Measure a bundle on annotated images."),
    "evaluate-labels": SubCommand(
        "weaksam.cli.evaluation.evaluate_labels", "evaluate_labels", "Measure labels on disk against true boxes."
    ),
    "evaluate-proposals": SubCommand(
        "weaksam.cli.evaluation.evaluate_proposals", "evaluate_proposals", "Measure what a bundle's proposals find."
    ),
    "evaluate-losses": SubCommand(
        "weaksam.cli.evaluation.evaluate_losses", "evaluate_losses", "Say at which stage a bundle loses objects."
    ),
    "data": SubCommand("weaksam.cli.data", "data_app", "Check data sets, draw scenes, make mosaics."),
    "weights": SubCommand("weaksam.cli.weights", "weights_app", "List, download and measure published weights."),
    "export": SubCommand("weaksam.cli.export", "export_command", "Turn trained stages into a bundle."),
    "triton": SubCommand("weaksam.cli.triton", "triton_command", "Write a bundle as a Triton model repository."),
}

# The package that is missing tells which extra of pyproject.toml was not installed.
EXTRA_OF_PACKAGE = {
    "onnxruntime": "cpu",
    "ray": "ray",
    "tritonclient": "triton",
    "lightning_fabric": "train",
    "matplotlib": "train",
    "onnx": "train",
    "safetensors": "train",
    "segment_anything": "train",
    "tensorboard": "train",
    "timm": "train",
    "torch": "train",
    "torchvision": "train",
    "transformers": "train",
}


class LazyGroup(TyperGroup):
    """Lists the sub-commands from the table; imports the one that is called."""

    def resolve_command(self, ctx: Any, args: list[str]) -> tuple[Any, Any, list[str]]:
        name, listed, rest = super().resolve_command(ctx, args)
        return name, _load(name) if name in SUB_COMMANDS else listed, rest

    def invoke(self, ctx: Any) -> Any:
        """Run the sub-command; say in plain English what is wrong with an option."""
        try:
            return super().invoke(ctx)
        except typer.BadParameter as error:
            error.message = _plain(error)
            raise


app = typer.Typer(
    cls=LazyGroup,
    name="weaksam",
    help="Find the objects that tags name in images, as boxes and masks; label, review and train with them.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)


def _show_version(asked: bool) -> None:
    if asked:
        typer.echo(f"weaksam {metadata.version(DISTRIBUTION)}")
        raise typer.Exit


@app.callback()
def options(
    traceback: Annotated[bool, typer.Option(TRACEBACK, help="Show where in the code an error arose.")] = False,
    version: Annotated[
        bool, typer.Option("--version", help="Show the version and exit.", is_eager=True, callback=_show_version)
    ] = False,
) -> None:
    """Declare the options before the sub-command; `_stop`, outside of any context, looks for them itself."""


def main() -> None:
    """Run the command line; a user's mistake ends in one sentence on stderr and exit status 2."""
    try:
        app()
    except ModuleNotFoundError as error:
        _stop(_missing_extra(error), error)
    except UserError as error:
        # A ValueError that is no UserError is a fault of ours: it shows where it arose.
        _stop(str(error), error)
    except OSError as error:
        _stop(os_error_sentence(error, sys.argv[1:]), error)


def _load(name: str) -> Any:
    """Return the sub-command itself, its module imported."""
    entry = SUB_COMMANDS[name]
    target = getattr(import_module(entry.module), entry.attribute)
    command: Any = typer.main.get_command(target if isinstance(target, typer.Typer) else _single(target))
    command.name = name
    return command


def _single(function: Any) -> typer.Typer:
    single = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
    single.command()(function)
    return single


def _plain(error: typer.BadParameter) -> str:
    from pydantic import ValidationError

    from weaksam.findings import first_fault

    if not isinstance(error.__cause__, ValidationError):
        return error.message
    # Typer checks options by pydantic, and passes its sentence on without the value.
    fault = first_fault(error.__cause__)
    return fault.message if (fault.value or "") in fault.message else fault.sentence("it")


def _missing_extra(error: ModuleNotFoundError) -> str:
    package = (error.name or "").partition(".")[0]
    if package not in EXTRA_OF_PACKAGE:
        raise error
    extra = EXTRA_OF_PACKAGE[package]
    return f"this command needs {package}, which is not installed: pip install -e '.[{extra}]' in a checkout"


def _stop(sentence: str, error: Exception) -> None:
    if TRACEBACK in sys.argv[1:2]:
        raise error
    print(f"weaksam: {sentence}", file=sys.stderr)  # noqa: T201
    sys.exit(USAGE_STATUS)


def _listed() -> None:
    """Stand in the help for a sub-command that is not imported yet."""


for _name, _entry in SUB_COMMANDS.items():
    app.command(_name, help=_entry.help)(_listed)

if __name__ == "__main__":
    main()
