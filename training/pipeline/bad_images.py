"""Images that cannot be decoded, found before a run of hours and not at one of its steps."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from training.data.check.decoding import decoding_error
from training.data.tagged import DataProblem, TaggedImage
from training.runs.image_digests import ImageDigests
from training.runs.problems import print_problems
from training.runs.ranks import is_first_rank, track_first
from training.runs.stage import run_stage
from weaksam.errors import UserError
from weaksam.files.atomic import read_json, write_text

FOUND_JSON = "undecodable.json"
MAX_BAD_SHARE = 0.01


def without_bad_images(
    images: Sequence[TaggedImage], run_dir: Path, digests: ImageDigests, on_bad_image: Literal["skip", "stop"]
) -> list[TaggedImage]:
    """Return the images that can be decoded; the others are reported. Each list is decoded once in a run's life.

    Raises:
        UserError: an image cannot be decoded and `on_bad_image` is "stop", or more than 1 % of them cannot.
    """

    def find(folder: Path) -> None:
        if is_first_rank():
            found = {
                number: error
                for number, image in enumerate(track_first(images, "images"))
                if (error := decoding_error(image)) is not None
            }
            write_text(folder / FOUND_JSON, json.dumps(found))

    done = run_stage(run_dir, "images", {}, {"images": digests.of_images(images)}, find, (FOUND_JSON,))
    bad = {int(number): error for number, error in read_json(done.folder / FOUND_JSON).items()}
    _check(images, bad, on_bad_image)
    print_problems(
        DataProblem(str(images[number].path), "image", f"{error}; the image is left out")
        for number, error in bad.items()
    )
    return [image for number, image in enumerate(images) if number not in bad]


def _check(images: Sequence[TaggedImage], bad: dict[int, str], on_bad_image: Literal["skip", "stop"]) -> None:
    if not bad:
        return
    number, error = next(iter(bad.items()))
    first = f"{images[number].path} cannot be decoded ({error})"
    if on_bad_image == "stop":
        raise UserError(f"data: {first}, and so {len(bad)} of {len(images)} images: replace or remove them")
    if len(bad) > max(1, MAX_BAD_SHARE * len(images)):
        raise UserError(
            f"data: {len(bad)} of {len(images)} images cannot be decoded, more than {MAX_BAD_SHARE:.0%}, the first is "
            f"{first}: run `weaksam data check`"
        )
