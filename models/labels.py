"""Label names and how a user's tag is matched to them."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property

from weaksam.errors import UserError
from weaksam.tag_texts import fold_label


@dataclass(frozen=True)
class Label:
    """A class: its name as results have it, and further tags that ask for it."""

    name: str
    aliases: tuple[str, ...] = ()


@dataclass(frozen=True)
class LabelSet:
    """The classes of a bundle, in the order of its graphs' class axis.

    Raises UserError where two labels could not be told apart.
    """

    labels: tuple[Label, ...]

    def __post_init__(self) -> None:
        spellings = [(fold_label(text), label.name) for label in self.labels for text in (label.name, *label.aliases)]
        seen: dict[str, str] = {}
        for folded, name in spellings:
            if seen.setdefault(folded, name) != name:
                raise UserError(f"labels {seen[folded]!r} and {name!r} share the spelling {folded!r}: rename one")
        if len({label.name for label in self.labels}) != len(self.labels):
            raise UserError("labels must be distinct: a name stands twice")

    def __len__(self) -> int:
        return len(self.labels)

    def __iter__(self) -> Iterator[Label]:
        return iter(self.labels)

    @cached_property
    def names(self) -> tuple[str, ...]:
        return tuple(label.name for label in self.labels)

    @cached_property
    def _index_of_folded(self) -> dict[str, int]:
        return {
            fold_label(text): index for index, label in enumerate(self.labels) for text in (label.name, *label.aliases)
        }

    def index(self, tag: str) -> int | None:
        """Return the class index of a tag as a user wrote it, or None if no label or alias matches."""
        return self._index_of_folded.get(fold_label(tag))

    def indices(self, tags: Iterable[str]) -> list[int]:
        """Return the class index of each tag that is a label."""
        return [index for tag in tags if (index := self.index(tag)) is not None]

    def nearest(self, tag: str, count: int = 3) -> list[str]:
        """Return the labels spelled most like ``tag``, best first; at least one if there are labels."""
        folded = fold_label(tag)
        similarity = {text: difflib.SequenceMatcher(None, folded, text).ratio() for text in self._index_of_folded}
        ranked = sorted(similarity, key=lambda text: -similarity[text])
        names = dict.fromkeys(self.names[self._index_of_folded[text]] for text in ranked)
        return list(names)[:count]
