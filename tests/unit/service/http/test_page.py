"""The files of the labelling page: what is served, how it is cached, and what it may do in a browser."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator
from pathlib import PurePosixPath

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient

from service.http.page import MEDIA_TYPES, add_page, page_files, page_paths
from service.http.problems import add_problem_handlers

IMPORT = re.compile(r'^import [^;]*?from "(\.[\w./]+)";$', re.MULTILINE)


@pytest.fixture
def client() -> Iterator[TestClient]:
    app = FastAPI()
    add_problem_handlers(app)
    add_page(app)
    with TestClient(app) as client:
        yield client


@pytest.mark.parametrize("path", sorted(page_paths()))
def test_each_file_is_served_with_its_type_and_a_strict_policy(client: TestClient, path: str) -> None:
    response = client.get(path)
    assert response.status_code == 200
    suffix = PurePosixPath(path).suffix or ".html"
    assert response.headers["content-type"] == f"{MEDIA_TYPES[suffix]}; charset=utf-8"
    policy = dict(part.strip().split(" ", 1) for part in response.headers["content-security-policy"].split(";"))
    assert policy["default-src"] == "'none'"
    assert policy["script-src"] == policy["style-src"] == policy["connect-src"] == "'self'"
    assert "unsafe" not in response.headers["content-security-policy"]
    assert response.headers["x-content-type-options"] == "nosniff"
    assert client.head(path).headers["content-length"] == str(len(response.content))


def test_a_browser_keeps_a_file_until_it_changes(client: TestClient) -> None:
    first = client.get("/page/main.js")
    assert first.headers["cache-control"] == "no-cache"
    again = client.get("/page/main.js", headers={"If-None-Match": f'W/"other", {first.headers["etag"]}'})
    assert (again.status_code, again.content) == (304, b"")
    assert again.headers["etag"] == first.headers["etag"]
    assert client.get("/page/main.js", headers={"If-None-Match": '"other"'}).status_code == 200


@pytest.mark.parametrize("name", ["nowhere.js", "..%2Fpage.py", "%2e%2e", ""])
def test_nothing_else_is_served(client: TestClient, name: str) -> None:
    response = client.get(f"/page/{name}")
    assert response.status_code == 404
    assert response.json()["code"] == "not_found"


def test_the_page_has_no_script_or_style_of_its_own_and_names_no_other_host() -> None:
    for name, file in page_files().items():
        text = file.content.decode()
        assert not re.search(r"https?://(?!www\.w3\.org/)", text), name
    index = page_files()["index.html"].content.decode()
    assert not re.search(r"<style|\sstyle=|\son\w+=|<script(?![^>]*\ssrc=)", index)


def test_every_module_that_is_imported_exists_and_every_module_is_reached() -> None:
    scripts = {name: file.content.decode() for name, file in page_files().items() if name.endswith(".js")}
    imported = {name: {_joined(name, other) for other in IMPORT.findall(text)} for name, text in scripts.items()}
    reached, left = set[str](), {"main.js", "review.js"}
    while left:
        name = left.pop()
        reached.add(name)
        left |= imported[name] - reached
    assert reached == set(scripts)


def _joined(name: str, imported: str) -> str:
    return posixpath.normpath(posixpath.join(posixpath.dirname(name), imported))
