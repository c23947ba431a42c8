"""`weaksam keys`: make, list and remove the API keys of a service."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from pydantic import ValidationError
from rich.console import Console
from rich.table import Table

from service.auth.api_keys import ApiKey, KeyFile, key_sha256, new_key, read_key_file, write_key_file
from weaksam.errors import UserError

keys_app = typer.Typer(
    help="Make, list and remove the API keys of a service.", no_args_is_help=True, add_completion=False
)

FileOption = Annotated[Path, typer.Option("--file", help="Keys file, which WEAKSAM_API_KEYS_FILE names.")]
NameArgument = Annotated[str, typer.Argument(help="Who holds the key: letters, digits, dots, dashes, underscores.")]


@keys_app.command()
def add(
    name: NameArgument,
    file: FileOption,
    admin: Annotated[bool, typer.Option("--admin", help="The key opens POST /admin/reload too.")] = False,
    rate_per_s: Annotated[
        float | None, typer.Option(min=0.001, help="Requests a second in the long run; default: the service's rate.")
    ] = None,
    burst: Annotated[
        int | None, typer.Option(min=1, help="Requests at once after a pause; needs --rate-per-s.")
    ] = None,
) -> None:
    """Make a key, print it once and store its hash; the file is made if there is none."""
    if burst is not None and rate_per_s is None:
        raise UserError(f"--burst is {burst}, but the key has no rate: give --rate-per-s too, or leave --burst out")
    known = read_key_file(file) if file.exists() else KeyFile()
    if any(key.name == name for key in known.keys):
        raise UserError(f"{file} has a key named {name!r}: remove that one first, or give another name")
    secret = new_key()
    try:
        key = ApiKey(name=name, sha256=key_sha256(secret), admin=admin, rate_per_s=rate_per_s, burst=burst)
    except ValidationError as error:
        raise UserError(f"name is {name!r}: use 1 to 64 letters, digits, dots, dashes and underscores") from error
    write_key_file(file, KeyFile(keys=(*known.keys, key)))
    # Alone on stdout, so that it can be piped into a secret store.
    typer.echo(secret)
    typer.echo(f"Stored as {name!r} in {file}. The key is not shown again; a running service needs a SIGHUP.", err=True)


@keys_app.command("list")
def list_keys(file: FileOption) -> None:
    """Show names, rights and rates; the keys themselves are not known."""
    table = Table("name", "admin", "rate per s", "burst", "sha256 begins with")
    for key in read_key_file(file).keys:
        own = ("" if value is None else str(value) for value in (key.rate_per_s, key.burst))
        table.add_row(key.name, "yes" if key.admin else "", *own, key.sha256[:8])
    Console(markup=False).print(table)


@keys_app.command()
def remove(name: NameArgument, file: FileOption) -> None:
    """Take a key out of the file; a running service refuses it after a SIGHUP."""
    known = read_key_file(file)
    kept = tuple(key for key in known.keys if key.name != name)
    if len(kept) == len(known.keys):
        raise UserError(f"{file} has no key named {name!r}: `weaksam keys list --file {file}` shows all")
    write_key_file(file, KeyFile(keys=kept))
    typer.echo(f"Removed {name!r} from {file}; a running service needs a SIGHUP.", err=True)
