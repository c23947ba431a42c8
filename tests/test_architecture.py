"""Who may import whom (DESIGN: the arrows between the top-level folders), lazily or not."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGES = ("models", "training", "service", "deploy")
ARROWS = {
    "models": {"models"},
    "training": {"training", "models"},
    "deploy": {"deploy", "models"},
    "service": {"service", "models"},
}
TORCH_ONLY = {
    "lightning_fabric",
    "segment_anything",
    "timm",
    "torch",
    "torchvision",
}
# What is measured is what is served: the one place in training that runs the service's pipeline.
MAY_IMPORT_SERVICE = {"training/evaluate.py"}


def imported(path: Path) -> Iterator[str]:
    """Dotted names of every module that a file imports, at its top or inside a function."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module is not None:
            yield node.module
            # `from models import nets` names a module too.
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def files_of(root: Path, package: str) -> list[Path]:
    return sorted((root / package).rglob("*.py"))


def breaches(root: Path, package: str) -> Iterator[str]:
    for path in files_of(root, package):
        name = path.relative_to(root).as_posix()
        for module in imported(path):
            target = module.partition(".")[0]
            allowed = ARROWS[package] | ({"service"} if name in MAY_IMPORT_SERVICE else set())
            if target in PACKAGES and target not in allowed:
                yield f"{name} imports {module}"


@pytest.mark.parametrize("package", PACKAGES)
def test_arrows_point_one_way(repository_dir: Path, package: str) -> None:
    assert files_of(repository_dir, package), f"{package}/ holds no module"
    assert list(breaches(repository_dir, package)) == []


def test_an_arrow_against_the_rule_is_found(tmp_path: Path) -> None:
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / "wrong.py").write_text("def f():\n    from service.app import create_app\n")
    found = set(breaches(tmp_path, "models"))
    assert found == {
        "models/wrong.py imports service.app",
        "models/wrong.py imports service.app.create_app",
    }


def test_only_nets_and_training_know_torch(repository_dir: Path) -> None:
    free = [*files_of(repository_dir, "service"), *files_of(repository_dir, "models"), repository_dir / "weaksam.py"]
    nets = repository_dir / "models" / "nets"
    heavy = {
        f"{path.relative_to(repository_dir)} imports {module}"
        for path in free
        if nets not in path.parents
        for module in imported(path)
        if module.partition(".")[0] in TORCH_ONLY or module.startswith("models.nets")
    }
    assert heavy == set()


def test_nothing_but_the_command_line_knows_weaksam(repository_dir: Path) -> None:
    users = [path for package in PACKAGES for path in files_of(repository_dir, package) if "weaksam" in imported(path)]
    assert users == []


BLOCK_HEAVY = f"""
import sys
from importlib.abc import MetaPathFinder

class Absent(MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {sorted(TORCH_ONLY | {"onnx", "onnxscript", "safetensors"})!r}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)

sys.meta_path.insert(0, Absent())
"""


@pytest.mark.parametrize(
    "statement",
    [
        pytest.param("import service.app", id="gateway"),
        pytest.param("import service.client", id="client"),
        pytest.param("import service.label_command", id="label"),
        pytest.param("import service.commands", id="serve and detect"),
        pytest.param("import deploy.triton_command", id="triton"),
    ],
)
def test_the_base_install_needs_no_torch(repository_dir: Path, statement: str) -> None:
    code = f"{BLOCK_HEAVY}\n{statement}\nassert 'training' not in sys.modules"
    ended = subprocess.run(
        [sys.executable, "-c", code], cwd=repository_dir, capture_output=True, text=True, check=False
    )
    assert ended.returncode == 0, ended.stderr


@pytest.mark.parametrize(
    ("absent", "statement"),
    [
        pytest.param(
            ("tritonclient", "grpc"), "import service.app, service.backends.ort", id="embedded without Triton"
        ),
        pytest.param(("onnxruntime",), "import service.app, service.backends.triton", id="Triton without onnxruntime"),
        pytest.param(("onnxruntime", "tritonclient"), "import deploy.triton_command", id="repository without either"),
    ],
)
def test_one_backend_does_not_need_the_library_of_the_other(
    repository_dir: Path, absent: tuple[str, ...], statement: str
) -> None:
    code = f"import sys\nsys.modules.update(dict.fromkeys({absent!r}))\n{statement}"
    ended = subprocess.run(
        [sys.executable, "-c", code], cwd=repository_dir, capture_output=True, text=True, check=False
    )
    assert ended.returncode == 0, ended.stderr
