"""Tags as texts of a request: one by one, between commas, or as a JSON list."""

from __future__ import annotations

import json
from collections.abc import Sequence


def split_tags(text: str) -> list[str]:
    """Return the tags that one text names: a JSON list, or names between commas.

    Raises:
        ValueError: the text begins like a JSON list and is none.
    """
    if not text.lstrip().startswith("["):
        return text.split(",")
    try:
        tags = json.loads(text)
    except ValueError:
        tags = None
    if not isinstance(tags, list) or not all(isinstance(tag, str) for tag in tags):
        raise ValueError('is no JSON list of strings: send ["wire", "fuel cap"], or names between commas')
    return tags


def tidy_tags(value: object) -> object:
    """Return tags without blanks and equal texts. An item of a list stays whole: a label's name may hold a comma."""
    texts = split_tags(value) if isinstance(value, str) else value
    if not isinstance(texts, list | tuple) or not all(isinstance(text, str) for text in texts):
        return value
    return list(dict.fromkeys(text.strip() for text in texts if text.strip()))


def split_each(value: object) -> object:
    """Return the tags of all texts of a query or a form."""
    if not isinstance(value, list | tuple) or not all(isinstance(text, str) for text in value):
        return value
    return [tag for text in value for tag in split_tags(text)]


def form_tags(tags: Sequence[str]) -> list[str] | str:
    """Return tags as fields of a form; as one JSON list if the service would split a tag."""
    return json.dumps(list(tags)) if any("," in tag or tag.lstrip().startswith("[") for tag in tags) else list(tags)
