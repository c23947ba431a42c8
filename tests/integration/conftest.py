"""The tiny bundle for the tests of this folder."""

from __future__ import annotations

from tests.support.tiny_fixtures import tiny_bundle, tiny_service

__all__ = ["tiny_bundle", "tiny_service"]
