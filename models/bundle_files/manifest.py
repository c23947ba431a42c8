"""``bundle.json``: a bundle is read from it and written to it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from models.bundle import MANIFEST, SERVED_GRAPHS, Bundle, BundleError, GraphSpec, Thresholds
from models.bundle_files.checks import check_bundle
from models.config import config_from_values
from models.labels import Label, LabelSet
from models.settings import PostSettings, PromptSettings
from weaksam.files.atomic import write_json

SCHEMA_VERSION = 1


@dataclass(frozen=True)
class Header:
    """The fields of ``bundle.json``, checked by type; `Bundle` holds them as the code uses them."""

    schema_version: int
    name: str
    version: str
    labels: tuple[Label, ...]
    graphs: dict[str, GraphSpec]
    map_kinds: tuple[str, ...]
    thresholds: Thresholds
    prompts: PromptSettings
    post: PostSettings
    provenance: dict[str, Any]


def load_bundle(folder: Path, required: Sequence[str] = SERVED_GRAPHS) -> Bundle:
    """Read and verify a bundle: schema, fields, files and their digests.

    Args:
        folder: holds ``bundle.json``.
        required: graphs that must be there; a bundle for making proposals lacks the detector that learns from them.

    Raises:
        BundleError: naming the file or field that is wrong.
    """
    manifest = folder / MANIFEST
    try:
        text = manifest.read_text(encoding="utf-8")
        values = json.loads(text)
    except FileNotFoundError as error:
        raise BundleError(f"{manifest} does not exist: give the folder of an exported bundle") from error
    except (OSError, ValueError, RecursionError) as error:
        raise BundleError(f"{manifest} cannot be read as JSON ({error}): export the bundle again") from error
    if not isinstance(values, dict) or values.get("schema_version") != SCHEMA_VERSION:
        found = values.get("schema_version") if isinstance(values, dict) else None
        raise BundleError(f"{manifest}: schema_version is {found!r}, this release reads {SCHEMA_VERSION}: export again")
    try:
        bundle = _bundle_of(values, folder, hashlib.sha256(text.encode()).hexdigest())
    except ValueError as error:
        raise BundleError(f"{error}: export the bundle again") from error
    check_bundle(bundle, required)
    return bundle


def write_manifest(bundle: Bundle) -> None:
    """Write ``bundle.json`` for files already in ``bundle.folder``; its digest is computed when it is read."""
    values = {
        "schema_version": SCHEMA_VERSION,
        "name": bundle.name,
        "version": bundle.version,
        "labels": [asdict(label) for label in bundle.labels],
        "graphs": {name: asdict(spec) for name, spec in bundle.graphs.items()},
        "map_kinds": list(bundle.map_kinds),
        "thresholds": asdict(bundle.thresholds),
        "prompts": asdict(bundle.prompts),
        "post": asdict(bundle.post),
        "provenance": dict(bundle.provenance),
    }
    write_json(bundle.folder / MANIFEST, values)


def _bundle_of(values: Mapping[str, Any], folder: Path, digest: str) -> Bundle:
    header = config_from_values(Header, values, str(folder / MANIFEST))
    return Bundle(
        folder=folder,
        name=header.name,
        version=header.version,
        digest=digest,
        labels=LabelSet(header.labels),
        graphs=header.graphs,
        map_kinds=header.map_kinds,
        thresholds=header.thresholds,
        prompts=header.prompts,
        post=header.post,
        provenance=header.provenance,
    )
