"""One stage of the pipeline: a folder named by what its result depends on, finished once."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from models.config import config_values
from training.runs.console import console
from training.runs.ranks import is_first_rank, wait_for_ranks
from weaksam.files.atomic import read_json, write_json
from weaksam.files.digests import file_sha256

DONE = "done.json"
KEY_CHARACTERS = 12
# They change how long a stage takes or how much a kill costs, and never the result.
WITHOUT_EFFECT = ("loader_workers", "checkpoint_steps")
WEIGHT_SUFFIXES = (".safetensors", ".pth")


@dataclass(frozen=True)
class Done:
    """A finished stage: its folder, and a digest of what later stages take from it."""

    folder: Path
    digest: str


def run_stage(
    run_dir: Path,
    name: str,
    settings: Any,
    inputs: Mapping[str, str],
    make: Callable[[Path], object],
    products: Sequence[str] = (),
) -> Done:
    """Run ``make`` on the stage's folder, or skip it if it is done for the same settings and inputs.

    A folder that a killed run left is handed to ``make`` again as it is: resuming is the stage's own business.

    Args:
        run_dir: holds the folders of all stages, ``NAME-KEY``.
        name: of the stage.
        settings: a dataclass, or plain values.
        inputs: digests of everything else that the result depends on, by name.
        make: writes into the folder; every rank calls it.
        products: files that later stages take; without any, the key stands for them.
    """
    values = settings_values(settings)
    key = digest_of({"stage": name, "settings": values, "inputs": dict(inputs)})[:KEY_CHARACTERS]
    folder = run_dir / f"{name}-{key}"
    done = _read_done(folder, key, products)
    wait_for_ranks()  # no rank may find the file that another has just written
    if done is None:
        _say(f"{name}: {folder.name}")
        folder.mkdir(parents=True, exist_ok=True)
        started_s = time.monotonic()
        make(folder)
        wait_for_ranks()
        record = {"stage": name, "settings": values, "inputs": dict(inputs)}
        _write_done(folder, record, products, time.monotonic() - started_s)
        wait_for_ranks()
        done = _read_done(folder, key, products)
        assert done is not None, f"{name} did not write {', '.join(products)}"
    else:
        _say(f"{name}: {folder.name} is done already")
    return done


def settings_values(settings: Any) -> dict[str, Any]:
    """Return the plain values that decide a stage's result; a file of weights counts by its content."""
    values = settings if isinstance(settings, dict) else config_values(settings)
    return {key: _content(value) for key, value in values.items() if key not in WITHOUT_EFFECT}


def digest_of(values: Any) -> str:
    """Return the sha256 of plain values as JSON with sorted keys."""
    return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()


def _content(value: Any) -> Any:
    is_weights = isinstance(value, str) and value.endswith(WEIGHT_SUFFIXES) and Path(value).is_file()
    return f"sha256:{file_sha256(Path(value))}" if is_weights else value


def _read_done(folder: Path, key: str, products: Sequence[str]) -> Done | None:
    path = folder / DONE
    if not path.is_file() or not all((folder / name).is_file() for name in products):
        return None
    record = read_json(path)
    return Done(folder, digest_of(record["products"]) if products else key)


def _write_done(folder: Path, record: dict[str, Any], products: Sequence[str], elapsed_s: float) -> None:
    if not is_first_rank():
        return
    digests = {name: file_sha256(folder / name) for name in products}
    write_json(folder / DONE, record | {"products": digests, "elapsed_s": round(elapsed_s, 1)})


def _say(text: str) -> None:
    if is_first_rank():
        console.print(text)
