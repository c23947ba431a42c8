"""Who may import whom, lazily or not, and how large folders and files may grow."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

PACKAGES = ("weaksam", "models", "training", "service", "deploy")
# Each unit, a folder or a module at the root of a package, with the units it may import. The longest name that a module
# begins with is its unit. A unit may always import itself.
DATA_TYPES = {"weaksam", "weaksam.files", "weaksam.formats"}
TRAINING_BASE = {"models", "training.data", "training.runs", *DATA_TYPES}
ARROWS: dict[str, set[str]] = {
    "weaksam": set(),
    "weaksam.files": {"weaksam"},
    "weaksam.formats": {"weaksam", "weaksam.files"},
    "weaksam.labelling": DATA_TYPES,
    "weaksam.review": DATA_TYPES,
    # What tools load is a client of the service.
    "weaksam.integrations": DATA_TYPES,
    # The command line may call everything, and nothing calls it.
    "weaksam.cli": {
        *DATA_TYPES,
        "weaksam.labelling",
        "weaksam.review",
        "weaksam.integrations",
        "models",
        "service",
        "training",
        "deploy",
    },
    "weaksam.__main__": {"weaksam.cli"},
    "models": DATA_TYPES,
    "models.nets": {"models", "weaksam"},
    "service": {"models", "weaksam"},  # settings, errors and deadlines, at the root
    "service.auth": {"service", "weaksam", "weaksam.files"},
    "service.observability": {"service", "weaksam"},
    "service.backends": {"models", "service", "service.observability"},
    "service.inference": {
        "models",
        "weaksam",
        "weaksam.formats",
        "service",
        "service.backends",
        "service.observability",
    },
    "service.runtime": {"models", "weaksam", "service", "service.auth", "service.inference", "service.observability"},
    "service.batch": {
        "models",
        *DATA_TYPES,
        "weaksam.labelling",
        "service",
        "service.inference",
        "service.observability",
    },
    "service.http": {"weaksam", "service", "service.auth", "service.observability", "service.runtime"},
    # Tools call these; what they need of formats is theirs alone.
    "service.http.integrations": {
        "models",
        "weaksam",
        "weaksam.formats",
        "service",
        "service.http",
        "service.observability",
        "service.runtime",
    },
    "service.app": {"models", "weaksam", "service"},
    "training": set(),
    "training.data": {"models", "models.nets", *DATA_TYPES},
    "training.scenes": {"models", "training.data", *DATA_TYPES},
    "training.runs": {"models", "training.data", *DATA_TYPES},
    "training.metrics": {"models", "training.data", *DATA_TYPES},
    "training.proposals": TRAINING_BASE,
    "training.classifier": {*TRAINING_BASE, "models.nets", "training.metrics", "training.sam"},
    "training.sam": {*TRAINING_BASE, "models.nets", "training.metrics", "training.scenes"},
    "training.wsod": {*TRAINING_BASE, "models.nets", "training.metrics", "training.proposals"},
    "training.pseudo_labels": {*TRAINING_BASE, "training.metrics", "training.proposals"},
    "training.detector": {*TRAINING_BASE, "models.nets", "training.metrics"},
    # What is measured is what is served: evaluation runs the service's pipeline.
    "training.evaluation": {
        *TRAINING_BASE,
        "training.metrics",
        "training.proposals",
        "training.pseudo_labels",
        "service",
    },
    "training.pipeline": {*DATA_TYPES, "models", "training", "deploy.export"},
    "deploy": set(),
    "deploy.export": {"models", "models.nets", "deploy.weights", *DATA_TYPES},
    "deploy.triton": {"models", *DATA_TYPES},
    "deploy.weights": {"models", *DATA_TYPES},
}
# These name a whole package, with every folder in it.
WHOLE = {
    ("weaksam.cli", "service"),
    ("weaksam.cli", "training"),
    ("weaksam.cli", "deploy"),
    ("service.app", "service"),
    ("training.evaluation", "service"),
    ("training.pipeline", "training"),
}
MAX_FILES_OF_A_FOLDER = 18  # modules, configs, pages and logs
MAX_LINES = 300
MAX_COLUMNS = 120
TORCH_ONLY = {
    "lightning_fabric",
    "segment_anything",
    "timm",
    "torch",
    "torchvision",
    "transformers",
}


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


def unit_of(module: str) -> str | None:
    """The unit that a dotted name lies in; None for a name that is not ours."""
    parts = module.split(".")
    names = (".".join(parts[:length]) for length in range(len(parts), 0, -1))
    return next((name for name in names if name in ARROWS), None)


def breaches(root: Path, package: str) -> Iterator[str]:
    for path in files_of(root, package):
        name = path.relative_to(root).as_posix()
        unit = unit_of(name.removesuffix(".py").replace("/", "."))
        assert unit is not None, f"{name} lies in no unit"
        for module in imported(path):
            target = unit_of(module)
            whole = (unit, module.partition(".")[0]) in WHOLE
            if target is not None and target != unit and target not in ARROWS[unit] and not whole:
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


def module_graph(root: Path) -> dict[str, set[str]]:
    """For each of our modules, those it imports, lazily or not."""
    paths = {
        path.relative_to(root).as_posix().removesuffix(".py").removesuffix("/__init__").replace("/", "."): path
        for package in PACKAGES
        for path in files_of(root, package)
    }
    return {module: {name for name in imported(path) if name in paths} - {module} for module, path in paths.items()}


def test_no_module_imports_itself_through_others(repository_dir: Path) -> None:
    TopologicalSorter(module_graph(repository_dir)).prepare()  # raises CycleError, which names the circle


def test_a_circle_is_found(tmp_path: Path) -> None:
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / "a.py").write_text("from models import b\n")
    (tmp_path / "models" / "b.py").write_text("from models.a import x\n")
    with pytest.raises(CycleError, match=r"models\.a"):
        TopologicalSorter(module_graph(tmp_path)).prepare()


@pytest.mark.parametrize("top", [*PACKAGES, "tests", "docs"])
def test_folders_stay_small(repository_dir: Path, top: str) -> None:
    kinds = ("*.py", "*.toml", "*.md", "*.json", "*.jsonl")
    files = [path for kind in kinds for path in (repository_dir / top).rglob(kind)]
    counts = Counter(path.parent.relative_to(repository_dir).as_posix() for path in files)
    assert [folder for folder, count in counts.items() if count > MAX_FILES_OF_A_FOLDER] == []


@pytest.mark.parametrize("package", PACKAGES)
def test_modules_stay_small(repository_dir: Path, package: str) -> None:
    lines = {path.name: path.read_text(encoding="utf-8").count("\n") for path in files_of(repository_dir, package)}
    assert [name for name, count in lines.items() if count > MAX_LINES] == []


def test_the_files_of_the_web_pages_keep_to_the_same_sizes(repository_dir: Path) -> None:
    files = (repository_dir / "service/http/web").rglob("*.*")
    lines = {path.name: path.read_text(encoding="utf-8").splitlines() for path in files}
    assert {name for name, texts in lines.items() if len(texts) > MAX_LINES} == set()
    assert [text for texts in lines.values() for text in texts if len(text) > MAX_COLUMNS] == []


@pytest.mark.parametrize("package", PACKAGES)
def test_every_folder_says_what_it_holds(repository_dir: Path, package: str) -> None:
    for folder in {path.parent for path in files_of(repository_dir, package)}:
        text = ast.get_docstring(ast.parse((folder / "__init__.py").read_text(encoding="utf-8")))
        assert text is not None, f"{folder} says nothing"


def test_only_nets_and_training_know_torch(repository_dir: Path) -> None:
    free = [
        *files_of(repository_dir, "service"),
        *files_of(repository_dir, "models"),
        *(path for path in files_of(repository_dir, "weaksam") if path.parent.name != "cli"),
        repository_dir / "weaksam/cli/main.py",
    ]
    nets = repository_dir / "models" / "nets"
    heavy = {
        f"{path.relative_to(repository_dir)} imports {module}"
        for path in free
        if nets not in path.parents
        for module in imported(path)
        if module.partition(".")[0] in TORCH_ONLY or module.startswith("models.nets")
    }
    assert heavy == set()


BLOCK_HEAVY = f"""
import sys
from importlib.abc import MetaPathFinder

class Absent(MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {sorted(TORCH_ONLY | {"onnx", "safetensors"})!r}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)

sys.meta_path.insert(0, Absent())
"""


@pytest.mark.parametrize(
    "statement",
    [
        pytest.param("import service.app", id="gateway"),
        pytest.param("import weaksam", id="client"),
        pytest.param("import weaksam.cli.labelling.label", id="label"),
        pytest.param("import weaksam.cli.serve, weaksam.cli.detect", id="serve and detect"),
        pytest.param("import weaksam.cli.triton", id="triton"),
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
        pytest.param(
            ("onnxruntime",), "import service.app, service.backends.triton.backend", id="Triton without onnxruntime"
        ),
        pytest.param(("onnxruntime", "tritonclient"), "import weaksam.cli.triton", id="repository without either"),
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


# Validators of pydantic, which turns it into an error of its own, and checks of what our own code passes.
MAY_RAISE_VALUE_ERROR = {
    "models/detections.py",
    "models/prompting/proposals.py",
    "service/http/integrations/requests.py",
    "service/settings.py",
    "training/metrics/average_precision.py",
    "weaksam/mask_schemas.py",
    "weaksam/review/schemas.py",
    "weaksam/schemas.py",
    "weaksam/segment_schemas.py",
    "weaksam/tag_texts.py",
}


@pytest.mark.parametrize("package", PACKAGES)
def test_a_mistake_of_the_user_raises_a_user_error(repository_dir: Path, package: str) -> None:
    """The command line tells a `UserError` in one sentence, and a `ValueError` with its traceback."""
    names = {path.relative_to(repository_dir).as_posix(): path for path in files_of(repository_dir, package)}
    raising = {name for name, path in names.items() if "raise ValueError(" in path.read_text(encoding="utf-8")}
    assert raising - MAY_RAISE_VALUE_ERROR == set()
