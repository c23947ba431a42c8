"""Tags as texts: what programs send in a request, and what people write in files and tables."""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Iterable, Sequence


def split_sent_tags(text: str) -> list[str]:
    """Return the tags that one text of a request names: a JSON list, or names between commas.

    Nothing else separates them, as the API says: a program can send a list, and a label's name may hold a semicolon.

    Raises:
        ValueError: the text begins like a JSON list and is none.
    """
    if not text.lstrip().startswith("["):
        return text.split(",")
    try:
        tags = json.loads(text)
    except (ValueError, RecursionError):  # the second is of lists in lists in lists
        tags = None
    if not isinstance(tags, list) or not all(isinstance(tag, str) for tag in tags):
        raise ValueError('is no JSON list of strings: send ["wire", "fuel cap"], or names between commas')
    return tags


def split_written_tags(text: str) -> tuple[str, ...]:
    """Return the tags of a text that a person wrote, separated by commas, semicolons or line ends.

    In a CSV, the comma separates the columns already. Doubles and empty ones are dropped.
    """
    return distinct_tags(re.split(r"[,;\r\n]", text))


def distinct_tags(texts: Iterable[str]) -> tuple[str, ...]:
    """Return texts as tags, stripped, without doubles and empty ones."""
    # What is no text becomes a tag that nothing knows, so that this one image is reported as such.
    return tuple(dict.fromkeys(tag for text in texts if (tag := whole_text(text).strip())))


def tidy_tags(value: object) -> object:
    """Return tags without blanks and equal texts. An item of a list stays whole: a label's name may hold a comma."""
    texts = split_sent_tags(value) if isinstance(value, str) else value
    if not isinstance(texts, list | tuple) or not all(isinstance(text, str) for text in texts):
        return value
    return list(dict.fromkeys(text.strip() for text in texts if text.strip()))


def split_each(value: object) -> object:
    """Return the tags of all texts of a query or a form."""
    if not isinstance(value, list | tuple) or not all(isinstance(text, str) for text in value):
        return value
    return [tag for text in value for tag in split_sent_tags(text)]


def fold_label(text: str) -> str:
    """Return the form in which names are compared: without regard to case, spaces, ``-`` and ``_``.

    Accents may be composed or not: file systems and keyboards differ in that. Characters that nobody sees, such as
    zero-width spaces and byte order marks, come along from web pages and spreadsheets; they do not count either.
    """
    return "".join(filter(_counts, unicodedata.normalize("NFC", text))).casefold()


def _counts(character: str) -> bool:
    return character not in "_-" and not character.isspace() and unicodedata.category(character) != "Cf"


def is_text(value: str) -> bool:
    """Return whether a string can be written: names that are not UTF-8, and some JSON, hold lone surrogates."""
    return not any("\ud800" <= letter <= "\udfff" for letter in value)


def whole_text(value: str) -> str:
    """Return a text that can be written: halves of characters become U+FFFD, the sign for what is no character."""
    return value if is_text(value) else value.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def form_tags(tags: Sequence[str]) -> list[str] | str:
    """Return tags as fields of a form; as one JSON list if the service would split a tag.

    Raises:
        ValueError: they are one text, or a tag cannot be sent.
    """
    if isinstance(tags, str):
        raise ValueError(f"is the text {tags!r}: give a list of names, such as [{tags!r}]")
    for tag in tags:
        if not is_text(tag):
            raise ValueError(f"{tag!a} holds half a character: correct it")
    return json.dumps(list(tags)) if any("," in tag or tag.lstrip().startswith("[") for tag in tags) else list(tags)
