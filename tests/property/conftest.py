"""The tiny bundle for the tests of this folder."""

from __future__ import annotations

from tests.support.bundles.tiny_fixtures import tiny_bundle

__all__ = ["tiny_bundle"]
