"""What a run was made with: revision, device and versions."""

from __future__ import annotations

import platform
import subprocess
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch

from training.runs.ranks import rank_count

PACKAGES = ("torch", "torchvision", "timm", "segment-anything", "onnxruntime", "onnxruntime-gpu", "numpy")


def environment() -> dict[str, Any]:
    """Return plain values that name the code, the machine and the packages."""
    changes = _git("status", "--porcelain", "--untracked-files=no")
    return {
        "git_revision": _git("rev-parse", "HEAD") or "unknown",
        "git_modified": None if changes is None else bool(changes),
        "python": platform.python_version(),
        "machine": platform.machine(),
        "device": torch.cuda.get_device_name() if torch.cuda.is_available() else "cpu",
        "ranks": rank_count(),
        "packages": {name: found for name in PACKAGES if (found := _version(name)) is not None},
    }


def _git(*arguments: str) -> str | None:
    """Return what git says of the checkout that this file lies in; None outside one, or without git."""
    try:
        ended = subprocess.run(  # noqa: S603 - arguments are our own
            ["git", *arguments],  # noqa: S607 - whichever git the user has
            capture_output=True,
            text=True,
            cwd=Path(__file__).parent,
            check=True,
        )
    except (OSError, subprocess.CalledProcessError):
        return None
    return ended.stdout.strip()


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None
