"""A stand-in for the service that answers as the test tells it to: at once, late, busy, broken or not at all."""

from __future__ import annotations

import asyncio
import hashlib
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from fastapi import FastAPI, Request, UploadFile
from fastapi.responses import JSONResponse, Response
from starlette.types import Receive, Scope, Send

from weaksam.formats.run_lengths import encode_rle

LABELS = ("Bolt", "Wrench", "Nut")
HEIGHT_PX, WIDTH_PX = 30, 40


@dataclass(frozen=True)
class Reply:
    """One scripted answer to one picture; status 200 detects every tag, 0 cuts the connection."""

    status: int = 200
    code: str = ""
    headers: dict[str, str] = field(default_factory=dict)


OK = Reply()
CUT = Reply(0)
BUSY = Reply(503, "busy", {"Retry-After": "0"})


class Cut(Response):
    """Promises a body and ends without it, so that the server closes the connection."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"100")]})
        await send({"type": "http.response.body", "body": b"{", "more_body": False})


@dataclass
class FakeService:
    """Replies by file name: each list is used up from its front, then every answer is 200.

    Attributes:
        seen: every request that came, as (file name, digest of the file).
        forms: options of every request that came, without the tags.
        labels: names of the labels that it says it has.
        image, detection: members that stand in each result in place of the usual ones.
        max_in_flight: highest number of requests at the same time.
    """

    replies: dict[str, list[Reply]] = field(default_factory=dict)
    digest: str = "d" * 64
    delay_s: float = 0.0
    capacity: int | None = None
    labels: tuple[str, ...] = LABELS
    image: dict[str, Any] = field(default_factory=dict)
    detection: dict[str, Any] = field(default_factory=dict)
    seen: list[tuple[str, str]] = field(default_factory=list)
    forms: list[dict[str, str]] = field(default_factory=list)
    max_in_flight: int = 0
    in_flight: int = 0

    def answered(self) -> Counter[tuple[str, str]]:
        """How many requests came for each file."""
        return Counter(self.seen)

    async def reply_to(self, name: str, data: bytes, tags: Iterable[str]) -> Response:
        self.seen.append((name, hashlib.sha256(data).hexdigest()))
        if self.capacity is not None and self.in_flight >= self.capacity:
            return problem(BUSY)
        self.in_flight += 1
        self.max_in_flight = max(self.max_in_flight, self.in_flight)
        try:
            await asyncio.sleep(self.delay_s)
        finally:
            self.in_flight -= 1
        script = self.replies.get(name)
        reply = script.pop(0) if script else OK
        if reply.status == 0:
            return Cut()
        return problem(reply) if reply.status != 200 else JSONResponse(self.answer(data, tags))

    def answer(self, data: bytes, tags: Iterable[str]) -> dict[str, Any]:
        ledger = [_ledger_row(tag) for tag in tags]
        detections = [_detection(row["label"]) | self.detection for row in ledger]
        sha256 = hashlib.sha256(data).hexdigest()
        return {
            "image": {"width": WIDTH_PX, "height": HEIGHT_PX, "sha256": sha256} | self.image,
            "detections": detections,
            "tags": ledger,
            "timing_ms": {"total": 1.0},
            "bundle": self.bundle(),
            "of_a_later_release": True,
        }

    def bundle(self) -> dict[str, str]:
        return {"name": "fake", "version": "1", "digest": self.digest}


def fake_app(fake: FakeService) -> FastAPI:
    """The application of `fake`, with the three pages that the client asks for."""
    app = FastAPI()

    @app.get("/livez")
    async def livez() -> dict[str, str]:
        return {"status": "alive"}

    @app.get("/labels")
    async def labels() -> dict[str, Any]:
        thresholds = {"classifier_threshold": 0.5, "min_score": 0.5, "wsod_min_score": 0.5}
        rows = [{"name": name, "aliases": [], **thresholds} for name in fake.labels]
        return {"labels": rows, "bundle": fake.bundle()}

    @app.post("/detect")
    async def detect(request: Request, image: UploadFile) -> Response:
        form = await request.form()
        fake.forms.append({key: str(value) for key, value in form.items() if key not in {"image", "tags"}})
        return await fake.reply_to(image.filename or "", await image.read(), map(str, form.getlist("tags")))

    return app


def problem(reply: Reply) -> Response:
    body = {"type": "about:blank", "title": "t", "status": reply.status, "detail": "It is so.", "code": reply.code}
    return JSONResponse(body, reply.status, reply.headers, "application/problem+json")


def _detection(tag: str) -> dict[str, Any]:
    side_px = 4 + LABELS.index(tag)
    mask_hw = np.zeros((HEIGHT_PX, WIDTH_PX), bool)
    mask_hw[5 : 5 + side_px, 10:20] = True
    return {
        "id": tag,
        "label": tag,
        "score": 0.75,
        "box_xyxy": [10.0, 5.0, 20.0, 5.0 + side_px],
        "mask": encode_rle(mask_hw),
        "mask_score": 0.9,
        "source": "wsod",
    }


def _ledger_row(label: str) -> dict[str, Any]:
    return {
        "tag": label,
        "label": label,
        "status": "found",
        "predicted": False,
        "count": 1,
        "stage": None,
        "best_score": 0.75,
        "nearest": [],
    }
