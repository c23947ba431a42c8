"""`weaksam serve`: the command line of the service."""

from __future__ import annotations

import inspect
import logging
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import typer

from service.observability.logs import LOGGER_NAME
from service.settings import ENV_PREFIX, Settings, load_settings, shown_default
from weaksam.cli.listening import listen

logger = logging.getLogger(LOGGER_NAME)


def serve(**given: Any) -> None:
    """Run the service. Each option can also be set by the environment variable beside it; the option wins."""
    from service.app import create_server
    from service.runtime.server import hold_hangups

    hold_hangups()
    settings = load_settings(**{name: value for name, value in given.items() if value is not None})
    # Bound before anything is loaded: a port in use is reported at once, and in one sentence.
    with listen(settings.host, settings.port) as listener, suppress(KeyboardInterrupt):
        server = create_server(settings)
        page = "page at /, reference at /docs" if settings.page else "reference at /docs"
        logger.info("listening on http://%s:%d, %s", settings.host, listener.getsockname()[1], page)
        server.run(sockets=[listener])


def _flags() -> Iterator[inspect.Parameter]:
    """Yield one option for each field of the settings, so that the two cannot differ."""
    for name, field in Settings.model_fields.items():
        described = f"{field.description} [{ENV_PREFIX}{name.upper()}]"
        option = typer.Option(None, help=described, show_default=shown_default(field))
        kind: Any = field.annotation
        yield inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=option, annotation=kind | None)


serve.__signature__ = inspect.Signature(list(_flags()))  # type: ignore[attr-defined]
