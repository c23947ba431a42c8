"""Published weights: what there is, where it lies, and what its publisher states of it."""

from __future__ import annotations

import difflib
from dataclasses import dataclass

from weaksam.errors import UserError

LICENCE = "Apache-2.0"  # of all of them


class WeightsError(UserError):
    """Weights that could not be had; the message names file or address and the remedy."""


@dataclass(frozen=True)
class WeightsFile:
    """A published file.

    Attributes:
        name: in `weaksam weights`.
        url: the publisher's address.
        kind: of the network, as `models.nets.published_sam.open_published.PublishedSam` has it.
        good_for: one clause for users.
        size_bytes: as published; None if the publisher states none.
        sha256: as published; None if the publisher states none.
        git_blob: name of the file's content in the publisher's git repository: the SHA-1 of its size and bytes.
        licence: of the weights.
    """

    name: str
    url: str
    kind: str
    good_for: str
    size_bytes: int | None = None
    sha256: str | None = None
    git_blob: str | None = None
    licence: str = LICENCE

    @property
    def file_name(self) -> str:
        return self.url.rpartition("/")[2]

    @property
    def checked_by(self) -> str:
        """Return what a download is compared with, as a user reads it."""
        if self.sha256:
            return f"sha256 {self.sha256}"
        return f"git blob {self.git_blob}" if self.git_blob else "sha256 of the first download"


def _sam(kind: str, suffix: str, size_bytes: int, sha256: str, good_for: str) -> WeightsFile:
    url = f"https://dl.fbaipublicfiles.com/segment_anything/sam_vit_{kind}_{suffix}.pth"
    return WeightsFile(f"sam-vit-{kind}", url, f"vit_{kind}", good_for, size_bytes, sha256)


def _sam_2(size: str, good_for: str) -> WeightsFile:
    """Return a checkpoint of SAM 2.1: its publisher states neither size nor digest."""
    url = f"https://dl.fbaipublicfiles.com/segment_anything_2/092824/sam2.1_hiera_{size.replace('-', '_')}.pt"
    return WeightsFile(f"sam2.1-{size}", url, f"sam2-{size}", good_for)


# The contents of both git repositories are named in their trees at the commits in the addresses.
WEIGHTS = (
    WeightsFile(
        "edgetam",
        "https://raw.githubusercontent.com/facebookresearch/EdgeTAM/9cc44bfe9e16cc374242917b91283c718410ea87"
        "/checkpoints/edgetam.pt",
        "edgetam",
        "CPUs: the fastest encoder",
        git_blob="abd54d22bbd22ba3e53cf59a307e59e0f3701be6",
    ),
    WeightsFile(
        "mobilesam",
        "https://raw.githubusercontent.com/ChaoningZhang/MobileSAM/34bbbfdface3c18e5221aa7de6032d7220c6c6a1"
        "/weights/mobile_sam.pt",
        "mobilesam",
        "CPUs: Segment Anything's own decoder",
        size_bytes=40_728_226,
        git_blob="7ef2d090979fd9853adf17b7a99c8b94a1c5a6a7",
    ),
    _sam_2("tiny", "CPUs with time, small GPUs"),
    _sam_2("small", "small GPUs"),
    _sam_2("base-plus", "GPUs"),
    _sam_2("large", "GPUs: the best masks"),
    _sam(
        "b",
        "01ec64",
        375_042_383,
        "ec2df62732614e57411cdcf32a23ffdf28910380d03139ee0f4fcbe91eb8c912",
        "GPUs",
    ),
    _sam(
        "l",
        "0b3195",
        1_249_524_607,
        "3adcc4315b642a4d2101128f611684e8734c41232a17c648ed1693702a49a622",
        "GPUs",
    ),
    _sam(
        "h",
        "4b8939",
        2_564_550_879,
        "a7bf3b02f3ebf1267aba913ff637d9a2d5c33d3173bb679e46d9f338c26f262e",
        "large GPUs",
    ),
)


def find_weights(name: str) -> WeightsFile:
    """Return the published file of that name; raises WeightsError with the nearest one."""
    by_name = {weights.name: weights for weights in WEIGHTS}
    if name not in by_name:
        nearest = difflib.get_close_matches(name, by_name, n=1, cutoff=0.0)[0]
        raise WeightsError(f"{name!r} names no weights: did you mean {nearest!r}? See `weaksam weights list`")
    return by_name[name]
