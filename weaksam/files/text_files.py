"""Text as people's editors save it: UTF-8 with or without its mark, or UTF-16 with it."""

from __future__ import annotations

import codecs
import re


def decoded(data: bytes, errors: str = "strict") -> str:
    """Decode UTF-8, or UTF-16 if the file begins with its mark, as Windows' editors write it.

    Raises:
        UnicodeDecodeError: it is neither, unless `errors` is `replace`.
    """
    utf_16 = data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)) and len(data) > 2
    return data.decode("utf-16" if utf_16 else "utf-8-sig", errors)


def lines_of(text: str) -> list[str]:
    """Return the lines of a text. Signs that `str.splitlines` takes for line ends too stay: file names have them."""
    return re.split(r"\r\n|\r|\n", text)
