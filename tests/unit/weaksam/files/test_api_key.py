"""Files of keys as people's editors save them."""

from __future__ import annotations

from pathlib import Path

import pytest

from weaksam.errors import UserError
from weaksam.files.api_key import read_api_key


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_a_key_is_read_in_any_encoding_of_text(tmp_path: Path, encoding: str) -> None:
    (tmp_path / "key").write_bytes("weaksam-abc\r\n".encode(encoding))
    assert read_api_key(tmp_path / "key") == "weaksam-abc"


def test_a_file_that_is_no_key_says_so(tmp_path: Path) -> None:
    (tmp_path / "key").write_bytes(b"\xff\xd8\xff\xe0")
    with pytest.raises(UserError, match="holds no API key"):
        read_api_key(tmp_path / "key")
