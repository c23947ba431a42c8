"""What every test may ask for, and the walls between a test and the machine it runs on."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import settings

from models.bundle import DEFAULT_BUNDLE

REPOSITORY = Path(__file__).resolve().parents[1]
SHARED = REPOSITORY.parent / "shared"
# For torch, here and in the processes that tests start: networks this small gain nothing from more threads, and where
# other work has the cores, OpenMP's waiting threads make a step thirty times slower.
os.environ.setdefault("OMP_NUM_THREADS", "1")
KINDS = ("unit", "property", "golden", "contract", "integration", "e2e")

# Wall-clock deadlines say more about the machine than about the code, and a busy runner would fail at random.
settings.register_profile("repository", deadline=None)
settings.load_profile("repository")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark each test with its kind, the name of its folder under tests/."""
    for item in items:
        kind = item.path.relative_to(REPOSITORY / "tests").parts[0]
        if kind in KINDS:
            item.add_marker(kind)


@pytest.fixture(autouse=True)
def no_settings_from_the_shell(monkeypatch: pytest.MonkeyPatch) -> None:
    """A WEAKSAM_* variable of the developer's shell must not decide whether a test passes."""
    for name in list(os.environ):
        if name.upper().startswith("WEAKSAM_"):
            monkeypatch.delenv(name)


@pytest.fixture(scope="session")
def repository_dir() -> Path:
    """The root of the checkout."""
    return REPOSITORY


@pytest.fixture(scope="session")
def fod_a_dir() -> Path:
    """The FOD-A photographs in VOC layout; skips where they do not lie beside the checkout."""
    return _shared("data/fod-a")


@pytest.fixture(scope="session")
def backbone_weights_path() -> Path:
    """ImageNet weights (safetensors) for timm's `mobilenetv2_100`; skips where they do not lie beside the checkout."""
    return _shared("weights/mobilenetv2_100-imagenet-fp16.safetensors")


@pytest.fixture(scope="session")
def default_bundle_dir() -> Path:
    """The bundle that is installed with the package."""
    return DEFAULT_BUNDLE


def _shared(relative: str) -> Path:
    path = SHARED / relative
    if not path.exists():
        pytest.skip(f"../shared/{relative} does not lie beside the checkout")
    return path
