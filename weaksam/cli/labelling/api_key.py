"""The option of commands that call a service with an API key."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from weaksam.variables import API_KEY_VARIABLE

ApiKeyFileOption = Annotated[
    Path | None,
    typer.Option(help=f"File with the API key, if the server needs one; or set {API_KEY_VARIABLE}."),
]
