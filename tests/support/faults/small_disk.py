"""A small file system, to see what happens when a disk runs full."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest


def small_disk(place: Path, size: str) -> Iterator[Path]:
    """Mount a file system of `size`, such as 64k or 40m, and yield it; skip the test if this user may not."""
    place.mkdir()
    mount, umount = shutil.which("mount"), shutil.which("umount")
    if mount is None or umount is None:
        pytest.skip("there is no mount command")
    options = ["-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(place)]
    mounted = subprocess.run([mount, *options], check=False, capture_output=True)
    if mounted.returncode:
        pytest.skip(f"a small file system cannot be mounted: {mounted.stderr.decode().strip()}")
    yield place
    subprocess.run([umount, str(place)], check=True)
