"""README and docs/ promise only what is there: commands, targets, links, settings, error codes, examples."""

from __future__ import annotations

import ast
import json
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from models.masks.drawing import mask_box
from service.http.error_table import error_classes, error_table
from service.settings import Settings, shown_default
from tests.support.docs import import_picture
from tests.support.docs.prose import complaints
from weaksam.cli import main as command_line
from weaksam.formats.run_lengths import decode_rle
from weaksam.mask_schemas import RleMask
from weaksam.problem_schemas import Problem
from weaksam.schemas import DetectResult

REPOSITORY = Path(__file__).resolve().parents[1]
DOCS = REPOSITORY / "docs"
PAGES = [REPOSITORY / "README.md", *sorted(DOCS.rglob("*.md"))]
CHANGELOG, MODEL_CARD = REPOSITORY / "CHANGELOG.md", REPOSITORY / "models/default_bundle/README.md"
PAGE_IDS = [page.relative_to(REPOSITORY).as_posix() for page in PAGES]


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
    page = (DOCS / "operations" / "configuration.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| `WEAKSAM_([A-Z_]+)` \| (.+?) \| (.+) \|$", page, re.MULTILINE)
    assert [(name, default.strip("`"), description) for name, default, description in rows] == [
        (name.upper(), shown_default(field), field.description) for name, field in Settings.model_fields.items()
    ]


def test_the_training_page_names_the_files_of_the_settings() -> None:
    page = (DOCS / "training" / "stages.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| .* \| (`\w+`(?:, `\w+`)*) \| `(\S+\.py)` \|$", page, re.MULTILINE)
    assert len(rows) == 7
    for classes, path in rows:
        text = (REPOSITORY / path).read_text(encoding="utf-8")
        assert [name for name in re.findall(r"\w+", classes) if f"class {name}" not in text] == [], path


def test_the_api_page_lists_every_code() -> None:
    page = (DOCS / "api.md").read_text(encoding="utf-8")
    assert error_table() in page, "replace the table by what `python -m service.http.error_table` prints"


def test_the_examples_are_what_the_service_answers() -> None:
    answer, problem = (json.loads(block) for block in blocks(DOCS / "api.md", "json"))
    [detection] = DetectResult.model_validate(answer).detections
    assert isinstance(detection.mask, RleMask)
    mask_hw = decode_rle(detection.mask.rle())
    assert tuple(mask_box(mask_hw)) == detection.box_xyxy
    assert (problem["code"], Problem.model_validate(problem).status) in {
        (kind.code, kind.status) for kind in error_classes()
    }


def newcomer_rows() -> list[tuple[str, str, str]]:
    """Word, path and symbol of each row that tells a newcomer where to change something."""
    page = (DOCS / "architecture.md").read_text(encoding="utf-8")
    return re.findall(r"^\| .*\*\*(\w+)\*\*.* \| `([^`]+)` \| `(\w+)` \|$", page, re.MULTILINE)


def test_a_newcomer_has_five_ways_in() -> None:
    assert [word for word, _, _ in newcomer_rows()] == ["admission", "masks", "formats", "losses", "errors"]


@pytest.mark.parametrize(("word", "path", "symbol"), newcomer_rows())
def test_a_newcomer_finds_the_place_by_its_name(word: str, path: str, symbol: str) -> None:
    """The word of the question stands in the path, so that nobody has to search."""
    assert word.rstrip("s") in path
    defined = ast.parse((REPOSITORY / path).read_text(encoding="utf-8")).body
    assert symbol in {node.name for node in defined if isinstance(node, ast.ClassDef | ast.FunctionDef)}


def test_the_import_picture_shows_the_rules() -> None:
    """After a change: `python -m tests.support.docs.import_picture docs/images/imports.svg`."""
    assert (DOCS / "images" / "imports.svg").read_text(encoding="utf-8") == import_picture.draw()


def test_the_site_is_built_and_fetches_nothing(tmp_path: Path) -> None:
    pytest.importorskip("mkdocs", reason="mkdocs is not installed: pip install -e '.[docs]'")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(tmp_path / "site")]
    built = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=False)
    assert built.returncode == 0, built.stderr
    site = tmp_path / "site"
    pages = {page.relative_to(site).as_posix(): page.read_text(encoding="utf-8") for page in site.rglob("*.html")}
    assert pages.keys() >= {page.relative_to(DOCS).with_suffix(".html").as_posix() for page in PAGES[1:]}
    assert (site / "search" / "search_index.json").exists()
    assert "weaksam.Client.detect" in pages["reference.html"]
    foreign = (
        r"<(?:script|img|iframe)[^>]* src=\"?https?:|<link[^>]* rel=\"?(?:stylesheet|preconnect)[^>]* href=\"?https?:"
    )
    assert [name for name, text in pages.items() if re.search(foreign, text)] == []
    assert [name for name, text in pages.items() if re.search(r'<a href="(?:\.\./)*(?:models|samples)/', text)] == []
    assert "(<code>models/default_bundle/README.md</code>)" in pages["results.html"]
    assert "(<code>README.md</code>)" in pages["index.html"]


@pytest.mark.parametrize("page", [*PAGES, CHANGELOG, MODEL_CARD], ids=[*PAGE_IDS, "CHANGELOG.md", "model card"])
def test_prose_is_easy_to_read(page: Path) -> None:
    assert "\n".join(complaints(page.read_text(encoding="utf-8"))) == ""


@pytest.mark.parametrize(
    ("markdown", "complaint"),
    [
        pytest.param("word " * 25, "columns", id="wide"),
        pytest.param("- " + "word\n" * 31, "words", id="long sentence"),
        pytest.param("One thing \u2014 another.", "dash", id="dash"),
    ],
)
def test_hard_prose_is_found(markdown: str, complaint: str) -> None:
    [found] = complaints(markdown)
    assert complaint in found


def test_what_is_no_prose_may_be_long() -> None:
    markdown = f"# {'word ' * 40}\n| {'word ' * 40} |\n```sh\n{'word ' * 40}\n```\nSee [it](https://{'x' * 100}).\n"
    assert list(complaints(markdown)) == []


def test_the_readme_fits_two_screens() -> None:
    assert len((REPOSITORY / "README.md").read_text(encoding="utf-8").splitlines()) <= 120


def test_drawings_need_no_script() -> None:
    """The site fetches nothing, so nothing draws Mermaid there: drawings are text or files."""
    assert [page.name for page in PAGES if list(blocks(page, "mermaid"))] == []


def test_pages_know_no_machine() -> None:
    for page in PAGES:
        assert not re.search(r"/(work|root|tmp)/|localhost", page.read_text(encoding="utf-8")), page.name
