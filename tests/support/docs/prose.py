"""The prose of a Markdown page, and what makes it hard to read."""

from __future__ import annotations

import re
from collections.abc import Iterator

MAX_WORDS = 30
MAX_COLUMNS = 100
NOT_PROSE = re.compile(r"\s*(\||#|:::|!\[|<)")
BLOCK_START = re.compile(r"\s*([-*>]|\d+\.) ")
LONE_COMMAND = re.compile(r"\s*`[^`]+`\S*$")
SENTENCE_END = re.compile(r"(?<=[.!?])[\"')*]*\s+(?=\S)")


def complaints(markdown: str) -> Iterator[str]:
    """Yield a sentence about each line that is too wide, each sentence that is too long, and each dash."""
    lines = list(prose_lines(markdown))
    for number, line in lines:
        if len(without_targets(line)) > MAX_COLUMNS and not LONE_COMMAND.match(line):
            yield f"line {number} has more than {MAX_COLUMNS} columns"
        if re.search(r"\u2014|\s\u2013\s|\s--\s", without_code(line)):
            yield f"line {number} has a dash between clauses: make two sentences"
    for sentence in sentences(lines):
        if len(sentence.split()) > MAX_WORDS:
            yield f"more than {MAX_WORDS} words: {sentence}"


def prose_lines(markdown: str) -> Iterator[tuple[int, str]]:
    """Yield the numbered lines outside code blocks that are no heading, row of a table or image; '' in their place."""
    fenced = False
    for number, line in enumerate(markdown.splitlines(), 1):
        fence = line.lstrip().startswith("```")
        fenced ^= fence
        yield number, "" if fenced or fence or NOT_PROSE.match(line) else line


def sentences(lines: list[tuple[int, str]]) -> Iterator[str]:
    """Yield the sentences; a piece of code counts as one word, and an item of a list begins a new one."""
    text = "\n".join(f"\n{line}" if BLOCK_START.match(line) else line for _, line in lines)
    for block in re.split(r"\n\s*\n", without_code(without_targets(text))):
        yield from SENTENCE_END.split(" ".join(block.split()))


def without_targets(text: str) -> str:
    """Return the text with the words of its links alone."""
    return re.sub(r"\]\([^)]*\)", "]", text)


def without_code(text: str) -> str:
    """Return the text with one word for each piece of inline code."""
    return re.sub(r"`[^`]+`", "code", text)
