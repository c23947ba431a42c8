"""Hook of mkdocs: the site holds docs/ alone, so a link to another file of the repository becomes its path."""

from __future__ import annotations

import posixpath
import re
from typing import Any


def on_page_markdown(markdown: str, *, page: Any, **_: object) -> str:
    """Return the page's Markdown without links that lead out of docs/."""
    folder = posixpath.dirname(page.file.src_uri)

    def link(match: re.Match[str]) -> str:
        path = posixpath.normpath(posixpath.join("docs", folder, match[2]))
        return match[0] if path.startswith("docs/") else f"{match[1]} (`{path}`)"

    return re.sub(r"\[([^\]]+)\]\((\.\./[^)]+)\)", link, markdown)
