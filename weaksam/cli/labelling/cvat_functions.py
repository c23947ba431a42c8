"""`weaksam cvat-functions`: the command line of `weaksam.integrations.nuclio`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from weaksam.blocking_client import Client
from weaksam.cli.labelling.api_key import ApiKeyFileOption
from weaksam.client import ClientError
from weaksam.errors import UserError
from weaksam.files.api_key import read_api_key
from weaksam.integrations.nuclio import write_functions


def cvat_functions(
    out: Annotated[Path, typer.Option(help="Folder for the functions.")],
    server: Annotated[
        str, typer.Option(help="Address of the service, as it is reached from here and from nuclio's containers.")
    ],
    api_key_file: ApiKeyFileOption = None,
) -> None:
    """Write nuclio functions that let CVAT's AI tools call a service."""
    with Client(server, api_key=read_api_key(api_key_file)) as client:
        try:
            labels = [row.name for row in client.labels().labels]
        except ClientError as error:
            raise UserError(str(error)) from error
    write_functions(server, labels, out)
    console = Console(markup=False, highlight=False)
    for kind in ("detector", "interactor"):
        console.print(f"nuctl deploy --project-name cvat --platform local --path {out / kind}", soft_wrap=True)
