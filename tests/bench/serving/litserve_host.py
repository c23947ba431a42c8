"""The service's own pipeline behind LitServe, for comparison.

`python -m tests.bench.serving.litserve_host --port 8001` needs `pip install litserve`. Two processes of one
thread each are its best arrangement on two cores.
"""

import asyncio
from pathlib import Path
from typing import Annotated, Any

import litserve
import typer
from fastapi import Request, Response

from models.bundle import DEFAULT_BUNDLE
from service.inference.decoding import decode
from service.inference.open_pipeline import create_pipeline
from service.settings import load_settings
from weaksam.schemas import DetectOptions


class DetectApi(litserve.LitAPI):  # type: ignore[misc]
    """Decodes, detects and encodes as POST /detect does."""

    def __init__(self, bundle: Path, threads: int) -> None:
        super().__init__(api_path="/detect")
        self._bundle = bundle
        self._threads = threads

    def setup(self, device: str) -> None:
        self._settings = load_settings(bundle=self._bundle, intra_op_threads=self._threads, workers=1)
        self._loop = asyncio.new_event_loop()
        self._pipeline = create_pipeline(self._settings)

    def decode_request(self, request: Request) -> Any:  # the type tells LitServe to read forms
        return request

    def predict(self, request: Any) -> bytes:
        bounds = self._settings.max_pixels, self._settings.max_declared_pixels
        image = decode(request["image"].file.read(), *bounds)
        options = DetectOptions(unknown_tags=request.get("unknown_tags", "error"))
        detecting = self._pipeline.detect(image, request["tags"].split(","), options)
        return self._loop.run_until_complete(detecting).model_dump_json().encode()

    def encode_response(self, output: bytes) -> Response:
        return Response(output, media_type="application/json")


def main(
    port: Annotated[int, typer.Option(help="Port to listen on.")],
    bundle: Annotated[Path, typer.Option(help="Bundle to serve.")] = DEFAULT_BUNDLE,
    processes: Annotated[int, typer.Option(min=1)] = 2,
    threads: Annotated[int, typer.Option(min=0)] = 1,
) -> None:
    """Serve until stopped."""
    server = litserve.LitServer(
        DetectApi(bundle, threads),
        accelerator="cpu",
        workers_per_device=processes,
        timeout=300,
        healthcheck_path="/readyz",
    )
    server.run(port=port, host="127.0.0.1", generate_client_file=False, log_level="warning")


if __name__ == "__main__":
    typer.run(main)
