"""The routes of an ML backend of Label Studio."""

from __future__ import annotations

import asyncio
from typing import Any

from fastapi import APIRouter, FastAPI, Request
from pydantic import Field

from service.errors import NotReady
from service.http.app_state import handler_of, lifecycle_of
from service.http.integrations.fetch_image import Credentials, ImageFetcher
from service.http.integrations.guarded_http import GuardedHttp, HostRules, parse_url
from service.http.integrations.label_studio.backend import LabelStudioBackend, PredictLimits
from service.http.integrations.label_studio.token import LabelStudioToken
from service.http.integrations.requests import Body
from service.http.paths import add_variants
from service.http.request_body import read_json
from service.runtime.admission import while_connected
from service.runtime.request_handler import RequestHandler
from service.settings import Settings

PREFIX = "/labelstudio"
# Label Studio sends events here without a key.
WEBHOOK = f"{PREFIX}/webhook"
# Label Studio waits for 1 s.
HEALTH_S = 0.8

router = APIRouter(prefix=PREFIX, include_in_schema=False)


class SetupBody(Body):
    """A project. `access_token`, which opens the account of the project's creator, is not among the members read."""

    label_config: Any = Field("", alias="schema")


class PredictBody(Body):
    """Tasks of a project. Members of `params` may be secret, so nothing that names its value checks them."""

    tasks: tuple[dict[str, Any], ...]
    label_config: Any = ""
    params: Any = None


def add_label_studio(app: FastAPI, settings: Settings, handler: RequestHandler) -> None:
    """Mount the routes on an application that has the handler and the lifecycle in its state."""
    # The image of a click is fetched before the click waits in the queue: as many as all uploads may take in memory.
    clicks_at_once = max(1, settings.upload_bytes // settings.max_body_bytes)
    limits = PredictLimits(settings.workers, clicks_at_once, settings.label_studio_predict_s)
    app.state.label_studio = LabelStudioBackend(handler, _fetcher(settings), settings.label_studio_url, limits)
    app.include_router(router)


@router.get("/health")
async def health(request: Request) -> dict[str, str]:
    """Return 200 if tasks can be predicted now, 503 if not, in less time than Label Studio waits."""
    try:
        async with asyncio.timeout(HEALTH_S):
            await lifecycle_of(request).check_ready()
    except TimeoutError as error:
        raise NotReady("the inference backend does not respond: wait, or see the log", retry_after_s=1) from error
    return {"status": "UP", "model_class": "weaksam"}


@router.post("/setup")
async def setup(request: Request) -> dict[str, Any]:
    """Return the model's version, and what a user should know of the project. No model runs for it."""
    body = await read_json(request, SetupBody, handler_of(request).upload_s)
    backend = _backend(request)
    return {"model_version": backend.version, "warnings": backend.setup(body.label_config)}


@router.post("/predict")
async def predict(request: Request) -> dict[str, Any]:
    """Return one entry for each task."""
    body = await read_json(request, PredictBody, handler_of(request).upload_s)
    work = _backend(request).predict(body.tasks, body.label_config, body.params)
    return {"results": await while_connected(request.receive, work)}


@router.post("/webhook", status_code=201)
async def webhook() -> dict[str, str]:
    """Do nothing with an event, whose body is not read: nothing is learnt from annotations while they are made."""
    return {"status": "ok"}


add_variants(router)


def _fetcher(settings: Settings) -> ImageFetcher:
    base_url = settings.label_studio_url
    origin = None if base_url is None else parse_url(base_url)[1]
    rules = HostRules(origin, settings.allowed_image_hosts, settings.allowed_image_networks)
    http = GuardedHttp(rules, settings.max_body_bytes)
    credentials = None
    if base_url is not None and origin is not None and settings.label_studio_token_file is not None:
        credentials = Credentials(origin, LabelStudioToken(settings.label_studio_token_file, base_url, http).header)
    return ImageFetcher(http, settings.image_fetch_s, credentials)


def _backend(request: Request) -> LabelStudioBackend:
    backend: LabelStudioBackend = request.app.state.label_studio
    return backend
