"""What the application keeps in its state for all routes, by its type."""

from __future__ import annotations

from fastapi import Request

from service.runtime.lifecycle import Lifecycle
from service.runtime.request_handler import RequestHandler


def handler_of(request: Request) -> RequestHandler:
    """Return what detects and segments."""
    handler: RequestHandler = request.app.state.handler
    return handler


def lifecycle_of(request: Request) -> Lifecycle:
    """Return what knows whether the service is ready, and reloads it."""
    lifecycle: Lifecycle = request.app.state.lifecycle
    return lifecycle
