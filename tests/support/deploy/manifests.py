"""Puts the Kubernetes overlays together as kustomize would, and has the result validated.

`python -m tests.support.deploy.manifests` is part of `make check`. What the overlays use of kustomize is understood and
no more: resources, namespace, images, and JSON patches (RFC 6902, add and replace) from files; anything else is an
error.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Iterator
from copy import deepcopy
from pathlib import Path
from typing import Any

import yaml

from tests.conftest import REPOSITORY

KUBERNETES = REPOSITORY / "deploy" / "kubernetes"
OVERLAYS = ("cpu", "gpu")
UNDERSTOOD = {"apiVersion", "kind", "namespace", "resources", "patches", "images"}
CLUSTER_WIDE = {"Namespace"}

Manifest = dict[str, Any]


def render(folder: Path) -> list[Manifest]:
    """The objects of a kustomization.

    Raises:
        ValueError: it names a file or an object that is not there, or asks for what is not understood.
    """
    kustomization = yaml.safe_load((folder / "kustomization.yaml").read_text(encoding="utf-8"))
    if strange := sorted(set(kustomization) - UNDERSTOOD):
        raise ValueError(f"{folder}/kustomization.yaml: {', '.join(strange)} is not understood here")
    objects = [manifest for name in kustomization["resources"] for manifest in _resource(folder / name)]
    for patch in kustomization.get("patches", []):
        _patch(objects, patch["target"], yaml.safe_load((folder / patch["path"]).read_text(encoding="utf-8")))
    for manifest in objects:
        if manifest["kind"] not in CLUSTER_WIDE:
            manifest["metadata"]["namespace"] = kustomization["namespace"]
        for container in containers(manifest):
            _set_image(container, kustomization.get("images", []))
    return objects


def _resource(path: Path) -> list[Manifest]:
    if path.is_dir():
        return render(path.resolve())
    if not path.is_file():
        raise ValueError(f"{path} is named in a kustomization and does not exist")
    return [manifest for manifest in yaml.safe_load_all(path.read_text(encoding="utf-8")) if manifest]


def _patch(objects: list[Manifest], target: Manifest, operations: list[Manifest]) -> None:
    chosen = [m for m in objects if (m["kind"], m["metadata"]["name"]) == (target["kind"], target["name"])]
    if len(chosen) != 1:
        raise ValueError(f"a patch is for {target['kind']} {target['name']}, of which there are {len(chosen)}")
    for operation in operations:
        *parents, last = [_step(part) for part in operation["path"].removeprefix("/").split("/")]
        place: Any = chosen[0]
        for part in parents:
            place = place[part]
        if operation["op"] not in {"add", "replace"} or (operation["op"] == "replace" and not _has(place, last)):
            raise ValueError(f"{operation['op']} {operation['path']} cannot be done to {target['name']}")
        if operation["op"] == "add" and isinstance(place, list):
            place.insert(len(place) if last == "-" else int(last), deepcopy(operation["value"]))
        else:
            place[last] = deepcopy(operation["value"])


def _step(part: str) -> str | int:
    return int(part) if part.isdecimal() else part.replace("~1", "/").replace("~0", "~")


def _has(place: Any, last: str | int) -> bool:
    return int(last) < len(place) if isinstance(place, list) else last in place


def pod_spec(manifest: Manifest) -> Manifest | None:
    """The specification of the pods that an object makes; None for one that makes none."""
    spec: Manifest | None = manifest.get("spec", {}).get("template", {}).get("spec")
    return spec


def containers(manifest: Manifest) -> list[Manifest]:
    """All containers of the pods that an object makes."""
    spec = pod_spec(manifest) or {}
    return [*spec.get("initContainers", []), *spec.get("containers", [])]


def _set_image(container: Manifest, images: list[Manifest]) -> None:
    for image in images:
        if container["image"] == image["name"]:
            container["image"] = f"{image['newName']}:{image['newTag']}"


def problems(objects: list[Manifest]) -> Iterator[str]:
    """What `kubernetes-validate --strict` finds wrong. It only warns of an unknown kind, which is as bad."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "objects.yaml"
        path.write_text(yaml.safe_dump_all(objects), encoding="utf-8")
        command = [str(Path(sys.executable).with_name("kubernetes-validate")), "--strict", str(path)]
        ended = subprocess.run(command, capture_output=True, text=True, check=False)
    lines = (ended.stdout + ended.stderr).splitlines()
    passed = [line for line in lines if line.startswith("INFO") and " passed " in line]
    yield from (line for line in lines if line not in passed)
    if ended.returncode or len(passed) != len(objects):
        yield f"{len(passed)} of {len(objects)} objects passed, exit status {ended.returncode}"


def main() -> None:
    """Validate every overlay; exit status 1 and the problems on stderr if there are any."""
    found = [
        f"overlays/{name}: {line}" for name in OVERLAYS for line in problems(render(KUBERNETES / "overlays" / name))
    ]
    print(*found, sep="\n", end="\n" if found else "", file=sys.stderr)  # noqa: T201
    sys.exit(bool(found))


if __name__ == "__main__":
    main()
