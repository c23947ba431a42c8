"""`weaksam review`: the command line of `weaksam.review`."""

from __future__ import annotations

import socket
from pathlib import Path
from typing import Annotated

import typer
import uvicorn
from fastapi import FastAPI
from rich.console import Console

from service.http.page import add_page
from service.http.problems import add_problem_handlers
from weaksam.cli.labelling.api_key import ApiKeyFileOption
from weaksam.cli.listening import listen
from weaksam.files.api_key import read_api_key
from weaksam.files.full_disk import writing_into
from weaksam.files.image_source import open_path
from weaksam.review.app import LOOPBACK, Review, create_review_app
from weaksam.review.forward import Forwarder
from weaksam.review.journal import ReviewJournal
from weaksam.review.labelled_run import open_labelled_run
from weaksam.review.sample import draw_sample

JOURNAL = "review.sqlite"
PAGE_SCRIPT = "review.js"


def review(
    labelled: Annotated[Path, typer.Argument(help="Folder that `weaksam label` wrote.")],
    photos: Annotated[str, typer.Option(help="Folder of the images that were labelled, or its address (s3://...).")],
    out: Annotated[
        Path | None,
        typer.Option(
            help="Folder for the decisions and the reviewed data set; the same one resumes a review.",
            show_default="reviewed, beside the labelled folder",
        ),
    ] = None,
    sample: Annotated[
        int | None,
        typer.Option(min=1, help="Review this many images drawn at random, to know how right the others are."),
    ] = None,
    server: Annotated[str, typer.Option(help="Address of the service that corrects masks.")] = "http://127.0.0.1:8000",
    api_key_file: ApiKeyFileOption = None,
    host: Annotated[str, typer.Option(help="Address to listen on; 0.0.0.0 lets others in.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port to listen on; 0 takes a free one.")] = 8001,
) -> None:
    """Check a labelling run in the browser, the most doubtful images first. The same command resumes it."""
    run = open_labelled_run(labelled, open_path(photos))
    folder = out or labelled.resolve().parent / "reviewed"
    forwarder = Forwarder(server, read_api_key(api_key_file))
    with writing_into(folder), listen(host, port) as listener:
        drawn = None if sample is None else draw_sample(run, sample)
        review = Review(run, ReviewJournal(folder / JOURNAL, run.sha256), folder, drawn)
        review.write()
        app = create_review_app(review, forwarder, _add_page, loopback_only=host in LOOPBACK)
        name = host if host in LOOPBACK else socket.gethostname()
        address = f"http://{name}:{listener.getsockname()[1]}"
        state, images = review.progress(), "images" if drawn is None else "images drawn at random"
        Console(markup=False, highlight=False).print(
            f"{state.images} {images}, {state.open} to review: {address}\n"
            f"Stop with Ctrl-C; the same command goes on. The reviewed data set is in {folder}.",
            soft_wrap=True,
        )
        uvicorn.Server(uvicorn.Config(app, log_level="warning", ws="none")).run(sockets=[listener])


def _add_page(app: FastAPI) -> None:
    """Add the service's own page, started with images of the review, and its way of telling errors."""
    add_problem_handlers(app)
    add_page(app, PAGE_SCRIPT)
