"""Images of many megapixels and files without their end, over a socket; memory in a process of its own."""

from __future__ import annotations

import io
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import httpx
import numpy as np
import pytest
from PIL import Image

from models.bundle import Bundle
from tests.support.faults import pictures
from weaksam.formats.run_lengths import decode_rle

START_TIMEOUT_S = 300.0  # a busy machine
# Compose gives a gateway 2 GiB, and its default bundle takes some 400 MiB more than the tiny one.
MAX_PEAK_BYTES = 1200 * 2**20
SIDE_PX = 7000  # 49 megapixels


@contextmanager
def serving(bundle: Bundle, log: Path) -> Iterator[tuple[str, int]]:
    """Run a service of two workers; yields its address and its process id."""
    command = [
        sys.executable,
        "-m",
        "weaksam",
        "serve",
        "--port",
        "0",
        "--workers",
        "2",
        "--bundle",
        str(bundle.folder),
    ]
    with log.open("wb") as output, subprocess.Popen(command, stderr=output) as process:
        try:
            yield f"http://127.0.0.1:{_port(process, log)}", process.pid
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(60)


def _port(process: subprocess.Popen[bytes], log: Path) -> str:
    give_up_s = time.monotonic() + START_TIMEOUT_S
    while (found := re.search(r"127\.0\.0\.1:(\d+)", log.read_text())) is None:
        assert process.poll() is None, log.read_text()
        assert time.monotonic() < give_up_s, log.read_text()
        time.sleep(0.1)
    return found[1]


def peak_bytes(pid: int) -> int:
    """Return the largest resident memory that a process has had (Linux)."""
    found = re.search(r"^VmHWM:\s+(\d+) kB$", Path(f"/proc/{pid}/status").read_text(), re.MULTILINE)
    assert found is not None
    return 1024 * int(found[1])


def large(mode: str) -> bytes:
    """Return a file of 49 megapixels with a red patch."""
    image = Image.new("RGB", (SIDE_PX, SIDE_PX), (128, 128, 128))
    image.paste((255, 0, 0), (SIDE_PX // 8, SIDE_PX // 8, SIDE_PX * 3 // 8, SIDE_PX * 3 // 8))
    if mode == "RGBA":
        image.putalpha(200)
    buffer = io.BytesIO()
    if mode == "CMYK":
        image.convert("CMYK").save(buffer, "JPEG")
    elif mode == "WebP":
        image.save(buffer, "WEBP", lossless=True, quality=0, method=0)
    else:
        image.save(buffer, "PNG", compress_level=1)
    return buffer.getvalue()


@pytest.mark.parametrize("mode", ["RGBA", "CMYK", "WebP"])
def test_two_large_images_at_once_stay_within_the_memory_of_compose(
    tiny_bundle: Bundle, tmp_path: Path, mode: str
) -> None:
    data = large(mode)
    with serving(tiny_bundle, tmp_path / "log") as (url, pid), ThreadPoolExecutor(2) as pool:
        sent = [
            pool.submit(httpx.post, f"{url}/detect?tags=red-bolt", files={"image": data}, timeout=120) for _ in "ab"
        ]
        responses = [future.result() for future in sent]
        peak = peak_bytes(pid)
    for response in responses:
        assert response.status_code == 200, response.text
        assert response.json()["image"]["width"] == SIDE_PX
    assert peak < MAX_PEAK_BYTES, f"{peak / 2**20:.0f} MiB"


def test_a_jpeg_of_200_megapixels_is_answered_in_its_own_pixels(tiny_bundle: Bundle, tmp_path: Path) -> None:
    width, height = 16_384, 12_288
    image = Image.new("RGB", (width, height), (128, 128, 128))
    box = (2048, 1536, 6144, 6144)
    image.paste((255, 0, 0), box)
    buffer = io.BytesIO()
    image.save(buffer, "JPEG")
    with serving(tiny_bundle, tmp_path / "log") as (url, pid):
        files = {"image": buffer.getvalue()}
        result = httpx.post(f"{url}/detect?tags=red-bolt", files=files, timeout=120).json()
        overlay = httpx.post(f"{url}/detect?tags=red-bolt", files=files, headers={"Accept": "image/png"}, timeout=120)
        peak = peak_bytes(pid)
    assert (result["image"]["width"], result["image"]["height"]) == (width, height)
    [detection] = result["detections"]
    cell_px = width / 16  # of the tiny bundle's mask decoder
    np.testing.assert_allclose(detection["box_xyxy"], box, atol=cell_px)
    assert detection["mask"]["size"] == [height, width]
    mask_hw = decode_rle({"size": [height, width], "counts": detection["mask"]["counts"]})
    assert mask_hw[3000, 4000]
    assert not mask_hw[10_000, 12_000]
    assert Image.open(io.BytesIO(overlay.content)).size == (width // 4, height // 4)
    assert peak < MAX_PEAK_BYTES, f"{peak / 2**20:.0f} MiB"


def test_a_jpeg_without_its_end_comes_with_a_warning(tiny_service: httpx.Client) -> None:
    data = pictures.saved(pictures.patch(400, 400), "JPEG")
    whole, cut, half = (
        tiny_service.post("/detect?tags=red-bolt", files={"image": sent})
        for sent in (data, data[:-2], data[: len(data) // 2])
    )
    assert (whole.json()["warnings"], cut.json()["warnings"]) == (
        [],
        ["the JPEG file lacks its end; all pixels are there"],
    )
    assert cut.json()["detections"] == whole.json()["detections"]
    assert (half.status_code, half.json()["code"]) == (422, "image_broken")


def test_an_image_of_12_bits_is_seen(tiny_service: httpx.Client) -> None:
    rgb = np.asarray(pictures.patch()).astype(np.uint16) * 16
    import cv2

    data = bytes(cv2.imencode(".png", rgb[..., ::-1])[1])
    response = tiny_service.post("/detect?tags=red-bolt", files={"image": data})
    assert [row["status"] for row in response.json()["tags"]] == ["found"]
