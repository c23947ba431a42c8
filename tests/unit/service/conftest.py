"""The tiny bundle for the tests of this folder."""

from __future__ import annotations

import pytest

from tests.support.bundles.tiny_fixtures import tiny_bundle

__all__ = ["tiny_bundle"]

# Its checks stand in modules of their own, and a failed assertion there must show its values too.
pytest.register_assert_rewrite("tests.unit.service.setting_effects")
