"""Hook of mkdocs: the site holds docs/ alone, so a link to another file of the repository becomes its path."""

from __future__ import annotations

import re


def on_page_markdown(markdown: str, **_: object) -> str:
    """Return the page's Markdown without links that lead out of docs/."""
    return re.sub(r"\[([^\]]+)\]\(\.\./([^)]+)\)", r"\1 (`\2`)", markdown)
