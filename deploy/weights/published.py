"""Published weights: their addresses, and how a file of gigabytes arrives whole or not at all."""

from __future__ import annotations

import difflib
import os
import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import httpx

from models.bundle import file_sha256
from weaksam.connection import code_and_cause, proxy_for, tls_context
from weaksam.errors import UserError

ATTEMPTS = 5
FIRST_WAIT_S, MAX_WAIT_S = 1.0, 30.0
TIMEOUT_S = 60.0
CONTENT_RANGE = re.compile(r"bytes (\d+)-\d+/(\d+)")

OnBytes = Callable[[int], None]


@dataclass(frozen=True)
class WeightsFile:
    """A published file: its name in `weaksam weights`, address, size, digest and licence."""

    name: str
    url: str
    size_bytes: int
    sha256: str
    licence: str

    @property
    def file_name(self) -> str:
        return self.url.rpartition("/")[2]


def _sam(kind: str, suffix: str, size_bytes: int, sha256: str) -> WeightsFile:
    url = f"https://dl.fbaipublicfiles.com/segment_anything/sam_vit_{kind}_{suffix}.pth"
    return WeightsFile(f"sam-vit-{kind}", url, size_bytes, sha256, "Apache-2.0")


WEIGHTS = (
    _sam("b", "01ec64", 375_042_383, "ec2df62732614e57411cdcf32a23ffdf28910380d03139ee0f4fcbe91eb8c912"),
    _sam("l", "0b3195", 1_249_524_607, "3adcc4315b642a4d2101128f611684e8734c41232a17c648ed1693702a49a622"),
    _sam("h", "4b8939", 2_564_550_879, "a7bf3b02f3ebf1267aba913ff637d9a2d5c33d3173bb679e46d9f338c26f262e"),
)


class WeightsError(UserError):
    """Weights that could not be had; the message names file or address and the remedy."""


class _Interrupted(Exception):
    """The connection or the server failed in a way that may pass; what has arrived is kept."""


def find_weights(name: str) -> WeightsFile:
    """Return the published file of that name; raises WeightsError with the nearest one."""
    by_name = {weights.name: weights for weights in WEIGHTS}
    if name not in by_name:
        nearest = difflib.get_close_matches(name, by_name, n=1, cutoff=0.0)[0]
        raise WeightsError(f"{name!r} names no weights: did you mean {nearest!r}? See `weaksam weights list`")
    return by_name[name]


def pull_weights(
    weights: WeightsFile,
    folder: Path,
    *,
    url: str | None = None,
    on_bytes: OnBytes = lambda _: None,
    first_wait_s: float = FIRST_WAIT_S,
) -> Path:
    """Download a file unless it is there already.

    What has arrived lies in ``NAME.part``, where a later call goes on; the file itself appears when size and digest
    are right. A failing connection is tried again, waiting longer each time, as long as it brings something.

    Args:
        weights: what to get.
        folder: of the file.
        url: another address of the same file.
        on_bytes: told how much lies on disk.
        first_wait_s: wait before the second attempt.

    Raises:
        WeightsError: the address gives other bytes, or nothing for `ATTEMPTS` attempts in a row.
    """
    target = folder / weights.file_name
    if target.exists():
        return _check_existing(target, weights)
    folder.mkdir(parents=True, exist_ok=True)
    part = folder / f"{weights.file_name}.part"
    _fetch(weights, url or weights.url, part, on_bytes, first_wait_s)
    found = file_sha256(part)
    if found != weights.sha256:
        part.unlink()
        raise WeightsError(
            f"{url or weights.url} gave a file with sha256 {found}, {weights.name} has {weights.sha256}: "
            "it was thrown away; try again, or another network"
        )
    part.replace(target)
    return target


def _check_existing(target: Path, weights: WeightsFile) -> Path:
    if target.stat().st_size != weights.size_bytes or file_sha256(target) != weights.sha256:
        raise WeightsError(f"{target} is there, but is not {weights.name} as published: move it away and try again")
    return target


def _fetch(weights: WeightsFile, url: str, part: Path, on_bytes: OnBytes, first_wait_s: float) -> None:
    """Fill ``part`` up to the published size, over as many connections as it takes."""
    failures = 0
    with _open_client(url) as client:
        while (before := _size(part)) != weights.size_bytes:
            try:
                _fetch_once(client, weights, url, part, on_bytes)
            except httpx.TransportError as error:
                code, reason = code_and_cause(error)
                if code == "tls_failed":
                    raise WeightsError(f"{url} cannot be reached: {reason}") from error
            except _Interrupted as error:
                reason = str(error)
            else:
                reason = "the connection ended early"
            failures = 0 if _size(part) > before else failures + 1
            if failures >= ATTEMPTS:
                raise WeightsError(
                    f"{url} could not be read ({reason}): {_size(part)} of {weights.size_bytes} bytes are kept in "
                    f"{part}, the same command goes on from there"
                )
            if failures:
                time.sleep(min(MAX_WAIT_S, first_wait_s * 2 ** (failures - 1)))


def _open_client(url: str) -> httpx.Client:
    return httpx.Client(
        timeout=TIMEOUT_S,
        follow_redirects=True,
        headers={"Accept-Encoding": "identity"},
        verify=tls_context(None),
        proxy=proxy_for(httpx.URL(url)),
        trust_env=False,
    )


def _fetch_once(client: httpx.Client, weights: WeightsFile, url: str, part: Path, on_bytes: OnBytes) -> None:
    have = _size(part)
    if have > weights.size_bytes:
        part.unlink()
        have = 0
    with client.stream("GET", url, headers={"Range": f"bytes={have}-"} if have else {}) as response:
        offset, total = _range_of(response, url)
        if total not in (None, weights.size_bytes):
            raise WeightsError(
                f"{url} says that the file has {total} bytes, {weights.name} has {weights.size_bytes}: "
                "it is another file; check the address"
            )
        if offset not in (0, have):
            raise _Interrupted(f"it sent bytes from {offset} on, but {have} were asked for")
        with part.open("ab" if offset else "wb") as file:
            _receive(response, file, weights, url, on_bytes)


def _range_of(response: httpx.Response, url: str) -> tuple[int, int | None]:
    """Return where the response's bytes begin, and the size of the whole file if the server states it."""
    if response.status_code == httpx.codes.PARTIAL_CONTENT:
        stated = CONTENT_RANGE.fullmatch(response.headers.get("Content-Range", ""))
        if stated is None:
            raise WeightsError(f"{url} answers 206 without a Content-Range: give another address of the file")
        return int(stated[1]), int(stated[2])
    if response.status_code == httpx.codes.OK:  # a server without ranges begins anew
        length = response.headers.get("Content-Length")
        return 0, None if length is None else int(length)
    if response.is_server_error or response.status_code == httpx.codes.TOO_MANY_REQUESTS:
        raise _Interrupted(f"status {response.status_code}")
    raise WeightsError(f"{url} answers {response.status_code}: check the address, or give another one of the file")


def _receive(response: httpx.Response, file: BinaryIO, weights: WeightsFile, url: str, on_bytes: OnBytes) -> None:
    size = file.tell()
    try:
        for chunk in response.iter_bytes():
            size += len(chunk)
            if size > weights.size_bytes:
                file.truncate(0)
                raise WeightsError(f"{url} sends more than {weights.size_bytes} bytes: it is another file")
            file.write(chunk)
            on_bytes(size)
    finally:
        file.flush()
        os.fsync(file.fileno())


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0
