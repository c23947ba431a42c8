"""Parts of a report that is one HTML file: no server, nothing fetched, readable in light and in dark."""

from __future__ import annotations

import base64
import html
import re
from collections.abc import Iterable, Sequence
from typing import Literal

STYLE = """
:root { color-scheme: light dark; --text: #1d2430; --faint: #5a6474; --line: #d7dce3; --inset: #f3f5f8; --page: #fff; }
@media (prefers-color-scheme: dark) {
  :root { --text: #e4e8ee; --faint: #a3adbb; --line: #3a4350; --inset: #1c232c; --page: #12171d; }
}
body { font: 15px/1.5 system-ui, sans-serif; max-width: 1640px; margin: 2em auto; padding: 0 1em;
  color: var(--text); background: var(--page); }
table { border-collapse: collapse; margin: 1em 0; } td, th { padding: .2em .8em; border-bottom: 1px solid var(--line); }
td { text-align: right; font-variant-numeric: tabular-nums; } td:first-child, th { text-align: left; }
figure { display: inline-block; margin: .3em; vertical-align: top; } figure img { max-width: 100%; }
figcaption { color: var(--faint); font-size: 13px; max-width: 24em; } h3 { margin-bottom: .2em; }
pre { background: var(--inset); padding: 1em; overflow-x: auto; } code { background: var(--inset); padding: 0 .3em; }
li code { overflow-wrap: anywhere; }
.words td { text-align: left; max-width: 46em; } .words th { white-space: nowrap; vertical-align: top; }
@media (max-width: 600px) { .words th { white-space: normal; } }
.summary { font-size: 17px; max-width: 46em; } .scroll { overflow-x: auto; }
"""


def html_page(title: str, parts: Iterable[str]) -> str:
    """Return a document from a title as plain text and parts as HTML."""
    name = html.escape(title)
    head = (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{name}</title><style>{STYLE}</style></head><body><main><h1>{name}</h1>"
    )
    return "\n".join([head, *parts, "</main></body></html>\n"])


def section(title: str, body: str) -> str:
    """Return a heading, plain text, and the HTML below it."""
    return f"<section><h2>{html.escape(title)}</h2>{body}</section>"


def sentence_list(sentences: Iterable[str]) -> str:
    """Return a list of sentences, plain text; nothing if there are none. A `command` between backticks is code."""
    items = "".join(f"<li>{_with_code(sentence)}</li>" for sentence in sentences)
    return f'<ul class="summary">{items}</ul>' if items else ""


def _with_code(sentence: str) -> str:
    return re.sub(r"`([^`]+)`", r"<code>\1</code>", html.escape(sentence))


def figure(data: bytes, caption: str, kind: Literal["png", "jpeg"]) -> str:
    """Return an image with a caption, plain text; the image's bytes lie in the page itself."""
    source = f"data:image/{kind};base64,{base64.b64encode(data).decode()}"
    text = html.escape(caption)
    return f'<figure><img src="{source}" alt="{text}"><figcaption>{text}</figcaption></figure>'


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a table of plain texts."""
    cells = "".join(f"<th>{html.escape(text)}</th>" for text in head)
    body = "".join(f"<tr>{''.join(f'<td>{html.escape(text)}</td>' for text in row)}</tr>" for row in rows)
    return f'<div class="scroll"><table><tr>{cells}</tr>{body}</table></div>'
