"""`weaksam label-ray`, real workers in processes of their own: the same files as from the service."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from models.bundle import Bundle
from service.app import create_app
from tests.support.bundles.service_parts import BLUE, GREEN, RED, tiny_settings
from tests.support.bundles.tiny_bundle import encoded, picture
from tests.support.distributed.ray_environment import label_with_ray
from tests.support.servers.live_server import live_server
from tests.support.triton.server import TritonServer
from weaksam.client import AsyncClient
from weaksam.formats.coco import DATASET, RESULTS
from weaksam.labelling.outputs import FAILURES, LEDGER
from weaksam.labelling.report import read_rows
from weaksam.labelling.run import LabelJob, label_folder
from weaksam.labelling.worklist import worklist_from_names

COLOURS = {"red-bolt": RED, "green-nut": GREEN, "blue-wrench": BLUE, "gasket": RED}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Three images of each label, three of an unknown one, and a broken file."""
    for label, rgb in COLOURS.items():
        (tmp_path / "in" / label).mkdir(parents=True)
        for number in range(3):
            patch = (8 + 4 * number, 8, 24 + 4 * number, 24)
            (tmp_path / "in" / label / f"{number}.png").write_bytes(encoded(picture((patch, rgb))))
    (tmp_path / "in" / "red-bolt" / "torn.png").write_bytes(b"no picture")
    (tmp_path / "in" / "untagged.png").write_bytes(b"")
    return tmp_path / "in"


def assert_same_files_as_the_service(bundle: Bundle, folder: Path, out: Path) -> None:
    """Label the folder through a service as well and compare the files, byte for byte."""
    by_service = out.with_name("http")

    async def send(url: str) -> None:
        job = LabelJob(folder, by_service, worklist_from_names(folder, "folder"))
        async with AsyncClient(url) as client:
            await label_folder(job, client, workers=2, on_done=lambda _: None)

    with live_server(create_app(tiny_settings(bundle.folder))) as url:
        asyncio.run(send(url))
    for name in (DATASET, RESULTS, LEDGER, FAILURES):
        assert (out / name).read_bytes() == (by_service / name).read_bytes(), name


def arguments(bundle: Bundle, folder: Path, out: Path, workers: int) -> list[str]:
    """Two images a batch, so that every worker gets several."""
    options = {"--bundle": bundle.folder, "--out": out, "--tags-from": "folder", "--workers": workers}
    given = {**options, "--batch-size": 2, "--max-error-rate": 1}
    return [str(folder), *(str(word) for option in given.items() for word in option)]


def test_ray_and_the_service_write_the_same_files(tiny_bundle: Bundle, folder: Path, tmp_path: Path) -> None:
    command = arguments(tiny_bundle, folder, tmp_path / "ray", workers=2)
    ended = label_with_ray(*command, variables={})
    assert ended.returncode == 0, ended.stderr
    assert "9 images labelled (0 in earlier runs), 9 detections, 5 failed." in ended.stdout
    assert sorted(row["code"] for row in read_rows(tmp_path / "ray" / FAILURES)) == [
        "no_tags",
        "not_an_image",
        "unknown_tag",
        "unknown_tag",
        "unknown_tag",
    ]
    assert_same_files_as_the_service(tiny_bundle, folder, tmp_path / "ray")
    again = label_with_ray(*command, variables={})
    assert "9 images labelled in earlier runs, 4 left." in again.stdout
    assert "9 images labelled (9 in earlier runs)" in again.stdout


def test_a_worker_keeps_its_connection_to_triton_from_batch_to_batch(
    tiny_triton: TritonServer, tiny_bundle: Bundle, folder: Path, tmp_path: Path
) -> None:
    variables = {"WEAKSAM_BACKEND": "triton", "WEAKSAM_TRITON_URLS": tiny_triton.grpc_url}
    ended = label_with_ray(*arguments(tiny_bundle, folder, tmp_path / "ray", workers=1), variables=variables)
    assert ended.returncode == 0, ended.stderr
    assert_same_files_as_the_service(tiny_bundle, folder, tmp_path / "ray")
