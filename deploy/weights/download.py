"""Downloads: how a file of gigabytes arrives whole or not at all."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

import httpx

from deploy.weights.published import WeightsError, WeightsFile
from weaksam.connection import code_and_cause, proxy_for, tls_context
from weaksam.files.atomic import write_text
from weaksam.files.digests import file_sha256

DEFAULT_FOLDER = Path("weights")
ATTEMPTS = 5
FIRST_WAIT_S, MAX_WAIT_S = 1.0, 30.0
TIMEOUT_S = 60.0
READ_BYTES = 1 << 20
CONTENT_RANGE = re.compile(r"bytes (\d+)-\d+/(?:(\d+)|\*)")  # RFC 9110, 14.4: the star is an unknown size

OnBytes = Callable[[int], None]


class _Interrupted(Exception):
    """The connection or the server failed in a way that may pass; what has arrived is kept."""


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
    are right. A failing connection is tried again, waiting longer each time, as long as it brings something. If the
    publisher states no digest, that of the first download is written beside the file, and later ones must have it.

    Args:
        weights: what to get.
        folder: of the file.
        url: another address of the same file, or a path on this machine.
        on_bytes: told how much lies on disk.
        first_wait_s: wait before the second attempt.

    Raises:
        WeightsError: the address gives other bytes, or nothing for `ATTEMPTS` attempts in a row.
    """
    target, source = folder / weights.file_name, url or weights.url
    if target.exists():
        return _check_existing(target, weights)
    folder.mkdir(parents=True, exist_ok=True)
    part = folder / f"{weights.file_name}.part"
    if "://" in source:
        _fetch(weights, source, part, on_bytes, first_wait_s)
    else:
        _copy(Path(source), part)
    if misfit := _misfit(part, weights, target):
        part.unlink()
        raise WeightsError(
            f"{source} gave a file with {misfit}: it was thrown away; try again, or another address with --url"
        )
    part.replace(target)
    _pin(target, weights)
    return target


def address_in(mirror: str, weights: WeightsFile) -> str:
    """Return the address of a file in a mirror: a folder of files under their published names, here or on a server."""
    return f"{mirror.rstrip('/')}/{weights.file_name}"


def _check_existing(target: Path, weights: WeightsFile) -> Path:
    if misfit := _misfit(target, weights, target):
        raise WeightsError(f"{target} is there, but has {misfit}: move it away and try again")
    _pin(target, weights)
    return target


def _misfit(path: Path, weights: WeightsFile, target: Path) -> str | None:
    """Return in what a file differs from what is known of it, None if in nothing."""
    pin = _pin_of(target)
    size_bytes, sha256 = _size(path), weights.sha256
    if sha256 is None and weights.git_blob is None and pin.exists():
        sha256 = pin.read_text(encoding="ascii").split()[0]
    if weights.size_bytes not in (None, size_bytes):
        return f"{size_bytes} bytes, {weights.name} has {weights.size_bytes}"
    if sha256 and (found := file_sha256(path)) != sha256:
        return f"sha256 {found}, {weights.name} has {sha256}"
    if weights.git_blob and (found := git_blob_of(path)) != weights.git_blob:
        return f"git blob {found}, {weights.name} has {weights.git_blob}"
    return None


def _pin(target: Path, weights: WeightsFile) -> None:
    """Write the digest of a file beside it, as `sha256sum --check` reads it, if its publisher states none."""
    pin = _pin_of(target)
    if not (weights.sha256 or weights.git_blob or pin.exists()):
        write_text(pin, f"{file_sha256(target)}  {target.name}\n")


def _pin_of(target: Path) -> Path:
    return target.with_name(f"{target.name}.sha256")


def git_blob_of(path: Path) -> str:
    """Return the name that git gives to a file's content: the SHA-1 of a header with its size, and of its bytes."""
    digest = hashlib.sha1(f"blob {_size(path)}\0".encode(), usedforsecurity=False)
    with path.open("rb") as file:
        while chunk := file.read(READ_BYTES):
            digest.update(chunk)
    return digest.hexdigest()


def _copy(source: Path, part: Path) -> None:
    try:
        shutil.copyfile(source, part)
    except OSError as error:
        raise WeightsError(f"{source} cannot be read ({error.strerror}): check the path") from error


def _fetch(weights: WeightsFile, url: str, part: Path, on_bytes: OnBytes, first_wait_s: float) -> None:
    """Fill ``part`` up to the size of the file, over as many connections as it takes."""
    failures, size_bytes = 0, weights.size_bytes
    with _open_client(url) as client:
        while (before := _size(part)) != size_bytes:
            try:
                size_bytes = _fetch_once(client, weights, url, part, on_bytes)
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
                    f"{url} could not be read ({reason}): {_size(part)} of {size_bytes or 'unknown'} bytes are kept "
                    f"in {part}, the same command goes on from there"
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


def _fetch_once(client: httpx.Client, weights: WeightsFile, url: str, part: Path, on_bytes: OnBytes) -> int:
    """Add to ``part`` what one connection brings; returns the size of the whole file in bytes."""
    have = _size(part)
    if weights.size_bytes is not None and have > weights.size_bytes:
        part.unlink()
        have = 0
    with client.stream("GET", url, headers={"Range": f"bytes={have}-"} if have else {}) as response:
        if response.status_code == httpx.codes.REQUESTED_RANGE_NOT_SATISFIABLE:
            part.unlink()
            raise _Interrupted("what had arrived was no part of the file")
        offset, total = _range_of(response, url)
        size_bytes = weights.size_bytes or total
        if size_bytes is None:
            raise WeightsError(f"{url} does not state the size of the file: give another address of it")
        if total not in (None, size_bytes):
            raise WeightsError(
                f"{url} says that the file has {total} bytes, {weights.name} has {size_bytes}: "
                "it is another file; check the address"
            )
        if offset not in (0, have):
            raise _Interrupted(f"it sent bytes from {offset} on, but {have} were asked for")
        with part.open("ab" if offset else "wb") as file:
            _receive(response, file, size_bytes, url, on_bytes)
    return size_bytes


def _range_of(response: httpx.Response, url: str) -> tuple[int, int | None]:
    """Return where the response's bytes begin, and the size of the whole file if the server states it."""
    if response.status_code == httpx.codes.PARTIAL_CONTENT:
        stated = CONTENT_RANGE.fullmatch(response.headers.get("Content-Range", ""))
        if stated is None:
            raise WeightsError(f"{url} responded 206 without a Content-Range: give another address of the file")
        return int(stated[1]), None if stated[2] is None else int(stated[2])
    if response.status_code == httpx.codes.OK:  # a server without ranges begins anew
        length = response.headers.get("Content-Length")
        return 0, None if length is None else int(length)
    if response.is_server_error or response.status_code == httpx.codes.TOO_MANY_REQUESTS:
        raise _Interrupted(f"status {response.status_code}")
    raise WeightsError(f"{url} responded {response.status_code}: check the address, or give another one of the file")


def _receive(response: httpx.Response, file: BinaryIO, size_bytes: int, url: str, on_bytes: OnBytes) -> None:
    size = file.tell()
    try:
        for chunk in response.iter_bytes():
            size += len(chunk)
            if size > size_bytes:
                file.truncate(0)
                raise WeightsError(f"{url} sends more than {size_bytes} bytes: it is another file")
            file.write(chunk)
            on_bytes(size)
    finally:
        file.flush()
        os.fsync(file.fileno())


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0
