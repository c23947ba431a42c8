"""README and docs/ promise only what is there: commands, targets, links, settings, error codes, examples."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from models.bundle import DEFAULT_BUNDLE
from models.masks import decode_rle, mask_box
from service.errors import PROBLEM_TYPES
from service.settings import Settings
from weaksam.cli import main as command_line
from weaksam.schemas import DetectResult, Problem, RleMask

REPOSITORY = Path(__file__).resolve().parents[1]
PAGES = [REPOSITORY / "README.md", *sorted((REPOSITORY / "docs").glob("*.md"))]
PAGE_IDS = [page.name for page in PAGES]


def blocks(page: Path, language: str) -> Iterator[str]:
    """Contents of the fenced blocks of one language."""
    yield from re.findall(rf"^```{language}\n(.*?)^```$", page.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)


def lines_beginning(page: Path, program: str) -> list[list[str]]:
    """Arguments of every call of `program`, in blocks of shell and in `inline code`."""
    text = page.read_text(encoding="utf-8")
    calls = [line for block in blocks(page, "sh") for line in block.replace("\\\n", " ").splitlines()]
    calls += re.findall(r"`([^`\n]+)`", text)
    return [shlex.split(call)[1:] for call in calls if call.startswith(f"{program} ")]


def follow(arguments: list[str]) -> tuple[Any, list[str]]:
    """The command that the first words name, and the words after them."""
    assert arguments[0] in command_line.SUB_COMMANDS, f"there is no `weaksam {arguments[0]}`"
    command, rest = command_line._load(arguments[0]), arguments[1:]
    while getattr(command, "commands", None) and rest and not rest[0].startswith("-"):
        # the group's own way of reading its first word; it raises UsageError where there is no such command
        _, command, rest = command.resolve_command(command.make_context("weaksam", [], resilient_parsing=True), rest)
    return command, rest


@pytest.mark.parametrize("page", PAGES, ids=PAGE_IDS)
def test_commands_and_their_options_exist(page: Path) -> None:
    for arguments in lines_beginning(page, "weaksam"):
        command, rest = follow(arguments)
        known = {option for parameter in command.params for option in parameter.opts} | {"--help"}
        assert {word for word in rest if word.startswith("--")} <= known, f"weaksam {' '.join(arguments)}"


@pytest.mark.parametrize("page", PAGES, ids=PAGE_IDS)
def test_make_targets_exist(page: Path) -> None:
    makefile = (REPOSITORY / "Makefile").read_text(encoding="utf-8")
    targets = set(re.findall(r"^([a-z-]+):", makefile, re.MULTILINE))
    assert {words[0] for words in lines_beginning(page, "make")} <= targets


@pytest.mark.parametrize("page", PAGES, ids=PAGE_IDS)
def test_links_to_files_resolve(page: Path) -> None:
    targets = re.findall(r"\]\((?!https?://|#)([^)#]+)", page.read_text(encoding="utf-8"))
    assert [target for target in targets if not (page.parent / target).exists()] == []


def test_the_configuration_page_lists_every_setting() -> None:
    page = (REPOSITORY / "docs" / "configuration.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| `WEAKSAM_([A-Z_]+)` \| (.+?) \| (.+) \|$", page, re.MULTILINE)
    settings = [
        (
            name.upper(),
            "the one installed" if field.default == DEFAULT_BUNDLE else f"`{field.default}`",
            field.description,
        )
        for name, field in Settings.model_fields.items()
    ]
    assert rows == settings


def test_the_api_page_lists_every_code() -> None:
    page = (REPOSITORY / "docs" / "api.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| `(\w+)` \| (\d+) \| (.+) \|$", page, re.MULTILINE)
    expected = [(code, str(kind.status), f"{kind.title}. {kind.remedy}") for code, kind in PROBLEM_TYPES.items()]
    assert sorted(rows) == sorted(expected)


def test_the_examples_are_what_the_service_answers() -> None:
    answer, problem = (json.loads(block) for block in blocks(REPOSITORY / "docs" / "api.md", "json"))
    [detection] = DetectResult.model_validate(answer).detections
    assert isinstance(detection.mask, RleMask)
    mask_hw = decode_rle({"size": list(detection.mask.size), "counts": detection.mask.counts})
    assert tuple(mask_box(mask_hw)) == detection.box_xyxy
    assert Problem.model_validate(problem).status == PROBLEM_TYPES[problem["code"]].status


def test_pages_know_no_machine() -> None:
    for page in PAGES:
        assert not re.search(r"/(work|root|tmp)/|localhost", page.read_text(encoding="utf-8")), page.name
