"""One of several parts of a folder, the same on every machine."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass, replace

from weaksam.errors import UserError
from weaksam.labelling.worklist import Worklist


@dataclass(frozen=True)
class Shard:
    """Part `index`, counted from 0, of `count` parts; together they hold every image once."""

    index: int
    count: int

    def __str__(self) -> str:
        return f"{self.index}/{self.count}"

    def holds(self, image: str) -> bool:
        """Tell if the image at this path below the folder belongs to this part; other images do not matter."""
        # Python's own hash differs from process to process.
        digest = hashlib.sha256(image.encode()).digest()
        return int.from_bytes(digest[:8]) % self.count == self.index


def parse_shard(text: str) -> Shard:
    """Return the shard written as `index/count`; raise UserError for anything else."""
    found = re.fullmatch(r"(\d+)/(\d+)", text, re.ASCII)
    if found is None or int(found[1]) >= int(found[2]):
        raise UserError(f"shard is {text!r}: give i/n with i from 0 to n-1, such as 0/4, 1/4, 2/4 and 3/4")
    return Shard(int(found[1]), int(found[2]))


def shard_worklist(worklist: Worklist, shard: Shard) -> Worklist:
    """Return what one shard has to do. It still knows all images of the folder, from which ids are counted."""
    return replace(
        worklist,
        tags={image: tags for image, tags in worklist.tags.items() if shard.holds(image)},
        failures=tuple(failure for failure in worklist.failures if shard.holds(failure.image)),
    )
