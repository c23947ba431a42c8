"""The review server: the queue, the decisions, the photographs, and the way on to the labelling service."""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Collection
from contextlib import aclosing, asynccontextmanager, closing
from dataclasses import dataclass, field
from mimetypes import guess_type
from pathlib import Path
from typing import Any

from fastapi import FastAPI, Request, Response
from starlette.middleware.trustedhost import TrustedHostMiddleware

from weaksam.review.decision_checks import check_decision
from weaksam.review.errors import NotAllowed, ReviewError, problem_response
from weaksam.review.forward import Forwarder
from weaksam.review.journal import Decided, ReviewJournal
from weaksam.review.labelled_run import LabelledRun
from weaksam.review.reviewed_files import objects_of, write_reviewed
from weaksam.review.sample import likely_share
from weaksam.review.schemas import ClaimRequest, Decision, Progress, ReviewEntry, ReviewImage

WRITE_EVERY_S = 10.0
FORWARDED = (("GET", "/labels"), ("POST", "/detect"), ("POST", "/segment"))
LOOPBACK = ("127.0.0.1", "localhost")
NO_SNIFFING = {"X-Content-Type-Options": "nosniff"}
logger = logging.getLogger("weaksam")
Next = Callable[[Request], Awaitable[Response]]


@dataclass
class Review:
    """One review in progress.

    Attributes:
        out: folder of the reviewed data set.
        sample: ids of the only images to review, drawn at random; None reviews all, the most doubtful first.
        latest: the last decision on each image.
    """

    run: LabelledRun
    journal: ReviewJournal
    out: Path
    sample: tuple[int, ...] | None = None
    latest: dict[int, Decided] = field(init=False)
    _unwritten: bool = True
    _writing: threading.Lock = field(default_factory=threading.Lock)
    # Requests run in threads: nobody reads `latest` as a whole while it and the journal change together.
    _deciding: threading.Lock = field(default_factory=threading.Lock)

    def __post_init__(self) -> None:
        self.latest = self.journal.latest()

    def progress(self) -> Progress:
        """Return how many images are in which state."""
        decisions = self._decisions()
        states = Counter(decisions[image_id].state for image_id in self._queue if image_id in decisions)
        counts = {state: states[state] for state in ("accepted", "corrected", "rejected")}
        images = len(self._queue)
        progress = Progress(images=images, open=images - states.total(), **counts)
        if self.sample is None:
            return progress
        # Images that were decided before the sample was drawn were the most doubtful: a part of it would mislead.
        likely = None if progress.open else likely_share(progress.accepted, images)
        return progress.model_copy(update={"sample_of": len(self.run.images), "likely_accepted": likely})

    def entry(self, image_id: int) -> dict[str, Any]:
        """Return the members of a `ReviewEntry`."""
        image, decided = self.run.image(image_id), self.latest.get(image_id)
        return {
            "id": image.id,
            "file_name": image.file_name,
            "review": image.review,
            "review_reason": image.review_reason,
            "state": decided.state if decided else "open",
            "version": decided.version if decided else 0,
            "reviewer": decided.reviewer if decided else None,
        }

    def image(self, image_id: int) -> ReviewImage:
        """Return an image with its objects as they stand."""
        image = self.run.image(image_id)
        return ReviewImage(
            **self.entry(image_id),
            width=image.size_hw[1],
            height=image.size_hw[0],
            sha256=self.run.sent_sha256(image),
            tags=image.tags,
            objects=objects_of(image, self.latest.get(image_id)),
        )

    def claim(self, request: ClaimRequest) -> list[ReviewEntry]:
        """Return the next images of a reviewer."""
        waiting = (image_id for image_id in self._queue if image_id not in self.latest)
        mine = self.journal.claim(waiting, request.reviewer, request.count)
        return [ReviewEntry(**self.entry(image_id)) for image_id in mine]

    def decide(self, image_id: int, decision: Decision) -> ReviewEntry:
        """Store a decision; raise ConflictingDecision if someone was faster, InvalidDecision if it cannot be meant."""
        check_decision(self.run.image(image_id), decision)
        with self._deciding:
            self.latest[image_id] = self.journal.decide(image_id, decision)
        self._unwritten = True
        return ReviewEntry(**self.entry(image_id))

    def write(self) -> None:
        """Write the reviewed data set, if there is anything new; raise OSError if the disk does not take it."""
        with self._writing:
            if not self._unwritten:
                return
            self._unwritten = False  # before the decisions are copied: a later one sets it again
            try:
                write_reviewed(self.run, self._decisions(), self.out)
            except BaseException:
                self._unwritten = True
                raise

    @property
    def _queue(self) -> Collection[int]:
        """Ids of the images to review, in their order."""
        return self.run.images if self.sample is None else self.sample

    def _decisions(self) -> dict[int, Decided]:
        """Return a copy of `latest` that no later decision changes."""
        with self._deciding:
            return dict(self.latest)


def create_review_app(
    review: Review, forwarder: Forwarder, add_page: Callable[[FastAPI], None], *, loopback_only: bool
) -> FastAPI:
    """Return the application.

    Args:
        review: its run, journal and decisions; the application closes the journal.
        forwarder: to the labelling service.
        add_page: adds the files of the page.
        loopback_only: refuse requests that name another host than this machine, as a page elsewhere could make them.
    """

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        async with aclosing(forwarder):
            with closing(review.journal):
                writer = asyncio.create_task(_write_now_and_then(review))
                try:
                    yield
                finally:
                    writer.cancel()
                    # What has stopped the writer stops the last write too, which says so.
                    await asyncio.gather(writer, return_exceptions=True)
                    review.write()

    app = FastAPI(title="weaksam review", lifespan=lifespan, docs_url=None, redoc_url=None)
    app.exception_handler(ReviewError)(problem_response)
    app.middleware("http")(_same_site_only)
    if loopback_only:
        app.add_middleware(TrustedHostMiddleware, allowed_hosts=list(LOOPBACK))
    _add_review(app, review)
    for method, path in FORWARDED:
        _add_forward(app, forwarder, method, path)
    add_page(app)
    return app


def _add_review(app: FastAPI, review: Review) -> None:
    @app.get("/review")
    def progress() -> Progress:
        return review.progress()

    @app.post("/review/claims")
    def claim(request: ClaimRequest) -> list[ReviewEntry]:
        return review.claim(request)

    @app.get("/review/images/{image_id}")
    def image(image_id: int) -> ReviewImage:
        return review.image(image_id)

    @app.get("/review/images/{image_id}/file")
    def file(image_id: int) -> Response:
        media_type, _ = guess_type(review.run.image(image_id).file_name)
        return Response(review.run.image_bytes(image_id), media_type=media_type, headers=NO_SNIFFING)

    @app.put("/review/images/{image_id}")
    def decide(image_id: int, decision: Decision) -> ReviewEntry:
        return review.decide(image_id, decision)


def _add_forward(app: FastAPI, forwarder: Forwarder, method: str, path: str) -> None:
    async def forward(request: Request) -> Response:
        return await forwarder.forward(request, path)

    app.add_api_route(path, forward, methods=[method], include_in_schema=False)


async def _same_site_only(request: Request, call_next: Next) -> Response:
    """Refuse what a page of another site asks; browsers say so, and other programs say nothing."""
    if request.headers.get("sec-fetch-site") == "cross-site" and request.url.path != "/":
        return problem_response(request, NotAllowed(f"{request.url.path} was asked by another site's page"))
    return await call_next(request)


async def _write_now_and_then(review: Review) -> None:
    """Write the data set while people work; a large one less often than a small one."""
    pause_s = WRITE_EVERY_S
    while True:
        await asyncio.sleep(pause_s)
        started_s = time.monotonic()
        try:
            await asyncio.to_thread(review.write)
        except OSError as error:
            logger.warning("the reviewed data set is not written (%s): the decisions are in the journal", error)
        pause_s = max(WRITE_EVERY_S, 10 * (time.monotonic() - started_s))
