"""`weaksam review` over a socket: several reviewers, a kill half way, and the data set that comes of it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from fastapi import FastAPI, Request
from pycocotools.coco import COCO

from tests.support.fakes.fake_service import HEIGHT_PX, WIDTH_PX
from tests.support.servers.live_server import live_server
from tests.support.servers.review_server import TAGS, review_server, write_labelled
from weaksam.formats.run_lengths import encode_rle

BOX = [1.0, 2.0, 11.0, 22.0]
DRAWN = [{"label": "Washer", "box_xyxy": BOX}]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_labelled(tmp_path)
    return tmp_path


def claim(url: str, reviewer: str, count: int = 1) -> list[Any]:
    sent = httpx.post(f"{url}/review/claims", json={"reviewer": reviewer, "count": count})
    assert sent.status_code == 200, sent.text
    rows: list[Any] = sent.json()
    return rows


def decide(url: str, entry: Any, reviewer: str, state: str, objects: Any = None) -> httpx.Response:
    decision = {"reviewer": reviewer, "version": entry["version"], "state": state, "objects": objects}
    return httpx.put(f"{url}/review/images/{entry['id']}", json=decision)


def dataset(folder: Path) -> Any:
    return json.loads((folder / "reviewed" / "annotations" / "instances_train.json").read_text(encoding="utf-8"))


def test_the_worst_image_comes_first_with_its_reason_and_objects(folder: Path) -> None:
    with review_server(folder) as server:
        [first] = claim(server.url, "ann")
        image = httpx.get(f"{server.url}/review/images/{first['id']}").json()
        photo = httpx.get(f"{server.url}/review/images/{first['id']}/file")
    assert (first["file_name"], first["state"], first["version"]) == ("b/two.png", "open", 0)
    assert first["review_reason"] == "Bolt and Nut overlap with close scores"
    assert (image["width"], image["height"], image["tags"]) == (WIDTH_PX, HEIGHT_PX, ["Bolt", "Nut"])
    assert [row["label"] for row in image["objects"]] == ["Bolt", "Nut"]
    assert image["objects"][0]["mask"]["size"] == [HEIGHT_PX, WIDTH_PX]
    assert len(image["sha256"]) == 64
    assert photo.content == (folder / "photos" / "b/two.png").read_bytes()
    assert photo.headers["content-type"] == "image/png"


def test_an_image_that_was_sent_smaller_is_not_named_by_its_digest(tmp_path: Path) -> None:
    """Clicks on it would be answered in pixels of the smaller one, if the service still has that."""
    write_labelled(tmp_path, max_side=20)
    with review_server(tmp_path) as server:
        assert httpx.get(f"{server.url}/review/images/1").json()["sha256"] is None


def test_two_reviewers_are_given_different_images(folder: Path) -> None:
    with review_server(folder) as server:
        of_ann = [row["id"] for row in claim(server.url, "ann", 2)]
        of_ben = [row["id"] for row in claim(server.url, "ben", 10)]
        again = [row["id"] for row in claim(server.url, "ann", 2)]
    assert (len(of_ann), len(of_ben)) == (2, 1)
    assert not set(of_ann) & set(of_ben)
    assert again == of_ann


def test_the_later_of_two_decisions_on_one_version_is_refused_in_words(folder: Path) -> None:
    with review_server(folder) as server:
        [entry] = claim(server.url, "ann")
        assert decide(server.url, entry, "ann", "rejected").status_code == 200
        refused = decide(server.url, entry, "ben", "accepted")
        seen = httpx.get(f"{server.url}/review/images/{entry['id']}").json()
        changed = decide(server.url, seen, "ben", "accepted")
    assert refused.status_code == 409
    assert refused.headers["content-type"] == "application/problem+json"
    assert refused.json()["detail"] == "ann has rejected this image meanwhile (version 1)"
    assert (seen["state"], seen["reviewer"], seen["version"]) == ("rejected", "ann", 1)
    assert (changed.json()["state"], changed.json()["version"]) == ("accepted", 2)


def test_a_review_killed_half_way_goes_on_and_ends_as_chosen(folder: Path) -> None:
    with review_server(folder) as server:
        first, second = claim(server.url, "ann", 2)
        assert decide(server.url, first, "ann", "corrected", DRAWN).status_code == 200
        assert decide(server.url, second, "ann", "rejected").status_code == 200
        server.process.kill()
        server.process.wait()
    with review_server(folder) as server:
        assert httpx.get(f"{server.url}/review").json() == {
            "images": 4, "open": 2, "accepted": 0, "corrected": 1, "rejected": 1, "sample_of": None,
            "likely_accepted": None,
        }  # fmt: skip
        [third] = claim(server.url, "ben", 10)
        assert decide(server.url, third, "ben", "accepted").status_code == 200
        [fourth] = claim(server.url, "ben", 10)
    assert [row["file_name"] for row in (first, second, third, fourth)] == [
        "b/two.png", "d/two.png", "a/clear.png", "c/wrench.png",
    ]  # fmt: skip
    written = dataset(folder)
    images = {row["file_name"]: (row["confirmed"], row["tags"], row.get("review_state")) for row in written["images"]}
    assert images == {
        "a/clear.png": (True, ["Bolt"], "accepted"),
        "b/two.png": (True, ["Washer"], "corrected"),
        "c/wrench.png": (False, ["Wrench"], None),
        "d/two.png": (False, ["Wrench", "Nut"], "rejected"),
    }
    names = {row["id"]: row["name"] for row in written["categories"]}
    objects = [(row["image_id"], names[row["category_id"]], row["bbox"]) for row in written["annotations"]]
    assert objects == [(1, "Bolt", [10.0, 5.0, 10.0, 4.0]), (2, "Washer", [1.0, 2.0, 10.0, 20.0])]
    assert written["info"]["review"] == {"corrected": 1, "rejected": 1, "accepted": 1}
    assert written["info"]["bundle"]["digest"] == "d" * 64
    assert (folder / "reviewed" / "images" / "a" / "clear.png").is_file()


def test_pycocotools_reads_the_reviewed_data_set(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with review_server(folder) as server:
        while claimed := claim(server.url, "ann", 10):
            for entry in claimed:
                assert decide(server.url, entry, "ann", "accepted").status_code == 200
    reviewed = COCO(str(folder / "reviewed" / "annotations" / "instances_train.json"))
    capsys.readouterr()
    assert len(reviewed.anns) == sum(map(len, TAGS.values()))
    assert all(reviewed.annToMask(row).sum() == row["area"] for row in reviewed.anns.values())


INVALID: dict[str, tuple[dict[str, Any], str]] = {
    "objects without a correction": ({"state": "accepted", "objects": DRAWN}, "state"),
    "a correction without objects": ({"state": "corrected"}, "state"),
    "a box without area": (
        {"state": "corrected", "objects": [*DRAWN, {"label": "Nut", "box_xyxy": [5, 5, 5, 9]}]},
        "objects[1].box_xyxy",
    ),
    "a box that lacks a number": (
        {"state": "corrected", "objects": [{"label": "Nut", "box_xyxy": [5, 5, 5]}]},
        "objects[0].box_xyxy",
    ),
    "no such state": ({"state": "open"}, "state"),
    "a member that is not known": ({"state": "accepted", "tags": []}, "tags"),
    "a mask of another image's size": (
        {
            "state": "corrected",
            "objects": [{"label": "Nut", "box_xyxy": BOX, "mask": encode_rle(np.ones((20, 30), np.bool_))}],
        },
        "objects[0].mask",
    ),
}


def test_what_cannot_be_a_decision_is_refused(folder: Path) -> None:
    with review_server(folder) as server:
        path = f"{server.url}/review/images/1"
        for name, (members, field) in INVALID.items():
            refused = httpx.put(path, json={"reviewer": "ann", "version": 0, **members})
            assert (refused.status_code, refused.json()["status"]) == (422, 422), name
            assert refused.json()["errors"][0]["field"] == field, name
        assert httpx.get(f"{server.url}/review/images/99").json()["code"] == "image_unknown"
        (folder / "photos" / "a/clear.png").unlink()
        gone = httpx.get(f"{path}/file").json()
        assert (gone["code"], gone["status"]) == ("image_unknown", 404)
        assert httpx.get(f"{server.url}/review").json()["open"] == 4


IMPOSSIBLE: dict[str, tuple[dict[str, Any], str]] = {
    "no label": ({"label": ""}, "objects[0].label is '': give a name"),
    "a label of blanks": ({"label": " "}, "objects[0].label is ' ': give a name"),
    "a label of two lines": ({"label": "Nut\nBolt"}, r"objects[0].label is 'Nut\nBolt': give a name"),
    "a box beyond the image": ({"box_xyxy": [-500, -500, 99999, 99999]}, "objects[0].box_xyxy is [-500.0, -500.0, "),
    "a mask that is no text of run lengths": (
        {"mask": {"counts": "é"}},
        "objects[0].mask does not fit: counts is 'é'",
    ),
    "a mask of other signs": (
        {"mask": {"counts": "zzzzz~~~"}},
        "objects[0].mask does not fit: counts is 'zzzzz~~~'",
    ),
    "a mask of more pixels": (
        {"mask": {"counts": "oon0"}},
        "objects[0].mask does not fit: counts has runs of 31743 ",
    ),
}


def test_objects_that_cannot_be_are_refused_with_their_member(folder: Path) -> None:
    with review_server(folder) as server:
        for name, (members, sentence) in IMPOSSIBLE.items():
            thing = {"label": "Nut", "box_xyxy": BOX, **members}
            if "mask" in thing:
                thing["mask"] = {"size": [HEIGHT_PX, WIDTH_PX], **thing["mask"]}
            refused = decide(server.url, {"id": 1, "version": 0}, "ann", "corrected", [thing])
            assert (refused.status_code, refused.json()["code"]) == (422, "invalid_decision"), name
            assert refused.json()["detail"].startswith(sentence), name
            [row] = refused.json()["errors"]
            assert f"{row['field']} {row['message']}" == refused.json()["detail"], name
        assert httpx.get(f"{server.url}/review").json()["corrected"] == 0


def test_pages_of_other_sites_get_nothing(folder: Path) -> None:
    with review_server(folder) as server:
        foreign = httpx.get(f"{server.url}/review", headers={"Sec-Fetch-Site": "cross-site"})
        rebound = httpx.get(f"{server.url}/review", headers={"Host": "attacker.example"})
    assert (foreign.status_code, foreign.json()["code"]) == (403, "not_allowed")
    assert rebound.status_code == 400


def test_the_page_reaches_the_service_with_a_key_that_it_never_sees(folder: Path) -> None:
    seen: list[tuple[str, dict[str, str], bytes]] = []
    service = FastAPI()

    @service.post("/segment")
    @service.post("/detect")
    async def answer(request: Request) -> dict[str, str]:
        seen.append((request.url.path, dict(request.headers), await request.body()))
        return {"said": "so"}

    with (
        live_server(service) as url,
        review_server(folder, "--server", url, env=os.environ | {"WEAKSAM_API_KEY": "the-key"}) as server,
    ):
        headers = {"Cookie": "a=b", "Authorization": "Bearer typed"}
        sent = httpx.post(f"{server.url}/segment", files={"image": b"x"}, headers=headers)
        httpx.post(f"{server.url}/detect", json={"tags": ["Bolt"]})
    assert (sent.status_code, sent.json()) == (200, {"said": "so"})
    assert "the-key" not in str(sent.headers) + sent.text
    (path, to_service, body), (_, _, of_detect) = seen
    assert (path, to_service["authorization"]) == ("/segment", "Bearer the-key")
    assert "cookie" not in to_service
    assert body.startswith(b"--")
    assert to_service["content-type"].startswith("multipart/form-data")
    assert json.loads(of_detect) == {"tags": ["Bolt"]}


def test_without_a_service_people_can_still_decide(folder: Path) -> None:
    with review_server(folder, "--server", "http://127.0.0.1:9") as server:
        failed = httpx.get(f"{server.url}/labels")
        [entry] = claim(server.url, "ann")
        assert decide(server.url, entry, "ann", "accepted").status_code == 200
    assert (failed.status_code, failed.json()["code"]) == (502, "service_unreachable")


def refusal(folder: Path, *more: str) -> str:
    command = [sys.executable, "-m", "weaksam", "review", str(folder / "labelled"), "--port", "0"]
    command += ["--photos", str(folder / "photos"), "--out", str(folder / "reviewed"), *more]
    ended = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert ended.returncode == 2
    return ended.stderr


def test_a_journal_is_of_one_run_and_one_server(folder: Path) -> None:
    with review_server(folder):
        assert "review.sqlite cannot be used as a journal of reviews (database is locked)" in refusal(folder)
    text = (folder / "labelled" / "dataset.json").read_text(encoding="utf-8")
    (folder / "labelled" / "dataset.json").write_text(text.replace("fake", "other"), encoding="utf-8")
    assert "holds the review of another labelling run: give another --out" in refusal(folder)


def test_names_that_lead_out_of_the_photographs_are_refused(folder: Path) -> None:
    path = folder / "labelled" / "dataset.json"
    path.write_text(path.read_text(encoding="utf-8").replace("a/clear.png", "../secret.png"), encoding="utf-8")
    assert "file_name is '../secret.png': leads out of" in refusal(folder)
