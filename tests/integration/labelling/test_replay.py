"""`weaksam replay` on a real run, and on runs whose result was changed."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from typer.testing import CliRunner, Result

from tests.support.bundles.service_parts import BLUE, GREEN, RED
from tests.support.bundles.tiny_bundle import encoded, picture
from weaksam.cli import main as command_line
from weaksam.formats.run_lengths import encode_rle

DOCUMENT = "dataset.json"


@pytest.fixture
def replayed(tiny_service: httpx.Client, tmp_path: Path) -> Callable[..., Result]:
    """Label two images, let `change` change the stored document, and replay."""
    server = str(tiny_service.base_url)
    for name, colour, place in (("red-bolt", RED, 8), ("blue-wrench,green-nut", BLUE, 12)):
        (tmp_path / "in" / name).mkdir(parents=True)
        image = picture(((place, 8, 24, 24), colour), ((40, 40, 56, 52), GREEN))
        (tmp_path / "in" / name / "a.png").write_bytes(encoded(image))
    out = tmp_path / "out"
    start = ["label", str(tmp_path / "in"), "--tags-from", "folder", "--out", str(out), "--server", server]
    assert CliRunner().invoke(command_line.app, [*start, "--min-score", "0.2"]).exit_code == 0

    def run(change: Callable[[dict[str, Any]], None] = lambda _: None, *options: str) -> Result:
        document = json.loads((out / DOCUMENT).read_text())
        change(document)
        (out / DOCUMENT).write_text(json.dumps(document))
        command = ["replay", str(out), "--images", str(tmp_path / "in"), "--server", server, *options]
        return CliRunner().invoke(command_line.app, command)

    return run


def test_the_same_again(replayed: Callable[..., Result]) -> None:
    ended = replayed()
    assert (ended.exit_code, ended.output) == (0, "2 of 2 images are as they were stored.\n")


def test_an_image_whose_tags_are_no_labels_is_not_asked_about(tiny_service: httpx.Client, tmp_path: Path) -> None:
    server, out = str(tiny_service.base_url), str(tmp_path / "out")
    (tmp_path / "in" / "zebra").mkdir(parents=True)
    (tmp_path / "in" / "zebra" / "a.png").write_bytes(encoded(picture(((8, 8, 24, 24), RED))))
    start = ["label", str(tmp_path / "in"), "--tags-from", "folder", "--out", out, "--server", server]
    assert CliRunner().invoke(command_line.app, [*start, "--unknown-tags", "skip"]).exit_code == 0
    command = ["replay", out, "--images", str(tmp_path / "in"), "--server", server]
    ended = CliRunner().invoke(command_line.app, command)
    assert (ended.exit_code, ended.output) == (0, "1 of 1 images are as they were stored.\n")


def raise_score(document: dict[str, Any]) -> None:
    document["annotations"][0]["score"] -= 0.1


def move_box(document: dict[str, Any]) -> None:
    document["annotations"][0]["bbox"][0] += 3


def empty_mask(document: dict[str, Any]) -> None:
    size_hw = document["annotations"][0]["segmentation"]["size"]
    document["annotations"][0]["segmentation"] = dict(encode_rle(np.zeros(size_hw, np.bool_)))


def other_label(document: dict[str, Any]) -> None:
    document["annotations"][0]["category_id"] = 1 + document["annotations"][0]["category_id"] % 3


def lose_one(document: dict[str, Any]) -> None:
    del document["annotations"][0]


def other_image(document: dict[str, Any]) -> None:
    document["images"][0]["sha256"] = "0" * 64


def other_bundle(document: dict[str, Any]) -> None:
    document["info"]["bundle"] |= {"version": "0", "digest": "0" * 64}


def move_file(document: dict[str, Any]) -> None:
    document["images"][0]["file_name"] = "absent.png"


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        pytest.param(raise_score, ": the score was ", id="score"),
        pytest.param(move_box, ": its box has moved by 3.0 pixels", id="box"),
        pytest.param(empty_mask, ": its masks have IoU 0.000", id="mask"),
        pytest.param(other_label, " is gone", id="label"),
        pytest.param(lose_one, " is new", id="one more"),
        pytest.param(other_image, "the image is another one: its digest was 000000000000", id="image"),
        pytest.param(other_bundle, "The bundle was tiny 0, it is tiny 1.", id="bundle"),
        pytest.param(move_file, "absent.png: ", id="file"),
    ],
)
def test_each_difference_is_told(replayed: Callable[..., Result], change: Any, sentence: str) -> None:
    ended = replayed(change)
    assert sentence in ended.output
    assert ended.exit_code == 1


def test_small_differences_may_be_none(replayed: Callable[..., Result]) -> None:
    assert replayed(move_box, "--box-tolerance-px", "3").exit_code == 0


def test_a_run_without_its_options(replayed: Callable[..., Result]) -> None:
    ended = replayed(lambda document: document["info"].pop("options"))
    assert "label once more with this release" in str(ended.exception)
