"""Images that cannot be decoded are found before a run."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.unit.training.data.conftest import write_image
from training.data.tagged import TaggedImage
from training.pipeline.bad_images import without_bad_images
from training.runs.image_digests import ImageDigests


def make_images(folder: Path, count: int, bad: int) -> list[TaggedImage]:
    paths = [folder / f"{number:03d}.jpg" for number in range(count)]
    for number, path in enumerate(paths):
        write_image(path)
        if number < bad:
            path.write_bytes(path.read_bytes()[:300])
    return [TaggedImage(path.stem, path, (60, 80), ("Bolt",)) for path in paths]


def checked(images: list[TaggedImage], folder: Path, on_bad_image: str = "skip") -> list[str]:
    digests = ImageDigests(folder / "images.json")
    return [image.id for image in without_bad_images(images, folder, digests, on_bad_image)]  # type: ignore[arg-type]


def test_one_of_a_few_is_left_out_and_reported(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    images = make_images(tmp_path, 5, bad=1)
    assert checked(images, tmp_path) == checked(images, tmp_path) == ["001", "002", "003", "004"]
    assert "000.jpg" in capsys.readouterr().err.replace("\n", "")


def test_good_ones_stay(tmp_path: Path) -> None:
    assert len(checked(make_images(tmp_path, 3, bad=0), tmp_path, "stop")) == 3


@pytest.mark.parametrize(
    ("bad", "on_bad_image", "sentence"),
    [
        pytest.param(1, "stop", r"000\.jpg cannot be decoded .* 1 of 5 images: replace or remove them", id="stop"),
        pytest.param(2, "skip", "2 of 5 images cannot be decoded, more than 1%", id="too many"),
    ],
)
def test_too_many_or_none_allowed(tmp_path: Path, bad: int, on_bad_image: str, sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        checked(make_images(tmp_path, 5, bad), tmp_path, on_bad_image)
