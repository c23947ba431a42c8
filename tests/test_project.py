"""The project's own files agree with each other."""

from __future__ import annotations

import ast
import re
import tomllib
from importlib.metadata import packages_distributions
from pathlib import Path
from typing import Any

import pytest

from weaksam.cli.main import EXTRA_OF_PACKAGE
from weaksam.mask_schemas import MIN_FIDELITY
from weaksam.variables import API_KEY_VARIABLE, WEIGHTS_URL_VARIABLE


@pytest.fixture(scope="module")
def pyproject(repository_dir: Path) -> dict[str, Any]:
    return tomllib.loads((repository_dir / "pyproject.toml").read_text(encoding="utf-8"))


def requirement_names(requirements: list[str]) -> set[str]:
    return {re.split(r"[\[<>=!~ ]", text, maxsplit=1)[0].lower().replace("_", "-") for text in requirements}


def test_the_changelog_begins_with_the_version(repository_dir: Path, pyproject: dict[str, Any]) -> None:
    changelog = (repository_dir / "CHANGELOG.md").read_text(encoding="utf-8")
    newest = re.search(r"^## \[(.+?)\] - (unreleased|\d{4}-\d{2}-\d{2})$", changelog, re.MULTILINE)
    assert newest is not None
    assert newest[1] == pyproject["project"]["version"]


def test_every_dependency_is_pinned_once(repository_dir: Path, pyproject: dict[str, Any]) -> None:
    lines = (repository_dir / "constraints.txt").read_text(encoding="utf-8").splitlines()
    pins = [line for line in lines if line and not line.startswith("#")]
    assert all(re.fullmatch(r"[A-Za-z0-9_.-]+==[A-Za-z0-9_.+!-]+", pin) for pin in pins)
    pinned = requirement_names(pins)
    assert len(pinned) == len(pins)
    extras = pyproject["project"]["optional-dependencies"]
    # onnxruntime-gpu cannot lie beside onnxruntime, so what was tested together holds only one of them.
    wanted = [
        *pyproject["project"]["dependencies"],
        *(text for name in extras for text in extras[name] if name != "gpu"),
    ]
    assert requirement_names(wanted) <= pinned


def test_torch_is_not_pinned_to_the_release_that_breaks_torchvision(repository_dir: Path) -> None:
    assert "torch==2.13.0" not in (repository_dir / "constraints.txt").read_text(encoding="utf-8").split()


def test_a_missing_package_names_an_extra_that_brings_it(pyproject: dict[str, Any]) -> None:
    extras = pyproject["project"]["optional-dependencies"]
    distributions = packages_distributions()
    for package, extra in EXTRA_OF_PACKAGE.items():
        brings_it = {name.lower().replace("_", "-") for name in distributions.get(package, [package])}
        assert brings_it & requirement_names(extras[extra])


def test_the_base_install_has_no_torch(pyproject: dict[str, Any]) -> None:
    heavy = {"torch", "torchvision", "timm", "lightning-fabric", "segment-anything", "onnx"}
    assert not requirement_names(pyproject["project"]["dependencies"]) & heavy


def test_the_licence_is_whole(repository_dir: Path) -> None:
    licence = (repository_dir / "LICENSE").read_text(encoding="utf-8")
    assert "Apache License\n                           Version 2.0, January 2004" in licence
    assert all(f"\n   {number}. " in licence for number in range(1, 10))
    assert licence.rstrip().endswith("limitations under the License.")


def test_the_default_fidelity_of_polygons_is_written_once(repository_dir: Path) -> None:
    assert holding(repository_dir, MIN_FIDELITY) == ["weaksam/mask_schemas.py"]


def test_names_of_variables_are_written_once(repository_dir: Path) -> None:
    # What is pasted into nuclio imports nothing of ours.
    assert holding(repository_dir, API_KEY_VARIABLE) == [
        "weaksam/integrations/nuclio_function.py",
        "weaksam/variables.py",
    ]
    assert holding(repository_dir, WEIGHTS_URL_VARIABLE) == ["weaksam/variables.py"]


def holding(root: Path, constant: str | float) -> list[str]:
    """The modules of what users run in which a constant is written out."""
    paths = (path for package in ("weaksam", "service", "deploy") for path in (root / package).rglob("*.py"))
    return sorted(
        path.relative_to(root).as_posix()
        for path in paths
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Constant) and node.value == constant
    )
