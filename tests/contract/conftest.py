"""The tiny bundle, and a tritonserver that serves it, for the tests of this folder."""

from __future__ import annotations

from tests.support.bundles.tiny_fixtures import tiny_bundle
from tests.support.triton.fixtures import tiny_triton

__all__ = ["tiny_bundle", "tiny_triton"]
