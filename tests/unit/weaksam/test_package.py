"""`import weaksam`: what it exports, and what it must not load."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from types import ModuleType

import weaksam


def test_all_names_what_is_exported() -> None:
    public = {name for name, value in vars(weaksam).items() if name[0] != "_" and not isinstance(value, ModuleType)}
    assert set(weaksam.__all__) == public


def test_everything_exported_is_documented() -> None:
    assert [name for name in weaksam.__all__ if not getattr(weaksam, name).__doc__] == []


def test_it_loads_neither_the_server_nor_anything_heavy(repository_dir: Path) -> None:
    heavy = ("models", "service", "training", "deploy", "torch", "onnxruntime", "fastapi", "uvicorn", "cv2")
    code = f"import sys, weaksam; print([name for name in {heavy!r} if name in sys.modules])"
    ended = subprocess.run(
        [sys.executable, "-c", code], cwd=repository_dir, capture_output=True, text=True, check=False
    )
    assert (ended.stdout, ended.stderr) == ("[]\n", "")
