"""A bundle as a Triton model repository: new, or a new version beside those that are served."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from pathlib import Path
from typing import Any

from deploy.triton.config import TritonOptions, graph_config
from deploy.triton.engines import SCRIPT_NAME, engine_script
from models.bundle import MANIFEST, Bundle
from models.triton import sequence_number
from weaksam.errors import UserError
from weaksam.files.atomic import write_text
from weaksam.files.damaged import naming_damage

PYTHON_MODEL = Path(__file__).with_name("model.py")


def write_repository(bundle: Bundle, out: Path, options: TritonOptions) -> int:
    """Write or update a model repository; nothing that a running Triton reads is ever half written.

    Each version folder holds the graph, and the bundle's ``bundle.json`` that its digest is taken from. Writing a
    version again changes its configuration only.

    Returns:
        The version of the models, which is the bundle's sequence number.

    Raises:
        BundleError: the bundle's version is no sequence number.
        UserError: the repository holds something that does not go with the bundle.
    """
    version = sequence_number(bundle)
    digests = {graph: _digests_with(bundle, graph, out / graph, version) for graph in bundle.graphs}
    configs = {graph: graph_config(bundle, graph, options, digests[graph]) for graph in bundle.graphs}
    for graph in bundle.graphs:
        _write_version(bundle, graph, out / graph, version, with_python=options.platform == "python")
    if options.platform == "tensorrt":
        write_text(out / SCRIPT_NAME, engine_script(bundle, version, options.max_batch))
    for graph, text in configs.items():
        write_text(out / graph / "config.pbtxt", text)
    return version


def _digests_with(bundle: Bundle, graph: str, folder: Path, version: int) -> dict[int, str]:
    """Return the digest of the bundle behind each version in a model's folder, the new one among them."""
    found = {int(path.name): path / MANIFEST for path in folder.glob("[1-9]*") if path.name.isdecimal()}
    digests = {number: _digest(path) for number, path in sorted(found.items())}
    if digests.get(version, bundle.digest) != bundle.digest:
        raise UserError(
            f"{folder / str(version)} holds another bundle of version {bundle.version!r}: raise the bundle's version"
        )
    if digests and version < max(digests):
        raise UserError(
            f"{folder} holds version {max(digests)}, and Triton serves the latest: raise the bundle's version, "
            f"now {bundle.version!r}, or remove the later folders from all models"
        )
    for path in found.values():
        if _signature(path, graph) != _signature(bundle.folder / MANIFEST, graph):
            raise UserError(
                f"{path.parent} has other inputs or outputs than the bundle, and Triton keeps one configuration for "
                "all versions of a model: write the bundle into another repository"
            )
    return {**digests, version: bundle.digest}


def _digest(manifest: Path) -> str:
    try:
        return hashlib.sha256(manifest.read_bytes()).hexdigest()
    except FileNotFoundError as error:
        raise UserError(f"{manifest.parent} was not written by `weaksam triton`: give another folder") from error


def _signature(manifest: Path, graph: str) -> Any:
    with naming_damage(manifest):
        spec = json.loads(manifest.read_bytes())["graphs"][graph]
        return spec["inputs"], spec["outputs"]


def _write_version(bundle: Bundle, graph: str, folder: Path, version: int, *, with_python: bool) -> None:
    # Triton passes over version folders whose names are no numbers, so an unfinished one does no harm.
    draft = folder / f".{version}.{os.getpid()}"
    shutil.rmtree(draft, ignore_errors=True)
    draft.mkdir(parents=True)
    try:
        shutil.copyfile(bundle.path(graph), draft / "model.onnx")
        shutil.copyfile(bundle.folder / MANIFEST, draft / MANIFEST)
        if with_python:
            shutil.copyfile(PYTHON_MODEL, draft / "model.py")
        target = folder / str(version)
        if target.exists():
            for path in draft.iterdir():
                path.replace(target / path.name)
        else:
            draft.rename(target)
    finally:
        shutil.rmtree(draft, ignore_errors=True)
