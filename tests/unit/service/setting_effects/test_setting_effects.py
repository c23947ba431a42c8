"""The effect of every setting: one that does nothing fails here."""

from __future__ import annotations

import logging
from collections.abc import Iterator

import pytest

from models.bundle import Bundle
from service.settings import Settings
from tests.unit.service.setting_effects import backends, limits, network, tools

CHECKS = {**backends.CHECKS, **limits.CHECKS, **network.CHECKS, **tools.CHECKS}


def test_there_is_a_check_for_every_setting() -> None:
    assert set(CHECKS) == set(Settings.model_fields)


@pytest.mark.parametrize("name", list(CHECKS))
async def test_a_setting_has_the_effect_it_says(
    tiny_bundle: Bundle, monkeypatch: pytest.MonkeyPatch, restored_logging: None, name: str
) -> None:
    await CHECKS[name](tiny_bundle, monkeypatch)


@pytest.fixture
def restored_logging() -> Iterator[None]:
    root = logging.getLogger()
    before = root.handlers[:], root.level
    yield
    root.handlers[:], root.level = before
