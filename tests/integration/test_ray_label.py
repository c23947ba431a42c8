"""The Ray Data job on two cores: the same files as from the service."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from models.bundle import Bundle
from service.app import create_app
from tests.support.live_server import live_server
from tests.support.service_parts import BLUE, GREEN, RED, tiny_settings
from tests.support.tiny_bundle import encoded, picture
from weaksam.client import AsyncClient
from weaksam.labelling.outputs import DATASET, FAILURES, LEDGER, RESULTS
from weaksam.labelling.run import LabelJob, label_folder
from weaksam.labelling.worklist import Failure, worklist_from_names

# Its wheels are larger than all that serving needs, so the extra `ray` is not part of `dev`.
ray = pytest.importorskip("ray", reason="ray is not installed: pip install -e '.[ray]'")

# Ray leaves sockets and processes to the garbage collector.
pytestmark = pytest.mark.filterwarnings("ignore")

COLOURS = {"red-bolt": RED, "green-nut": GREEN, "blue-wrench": BLUE, "gasket": RED}


@pytest.fixture(scope="module")
def cluster() -> Iterator[None]:
    """Two workers of this machine."""
    ray.init(num_cpus=2, include_dashboard=False, logging_level="ERROR")
    yield
    ray.shutdown()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Three pictures of each label, three of an unknown one, and a broken file."""
    for label, rgb in COLOURS.items():
        (tmp_path / "in" / label).mkdir(parents=True)
        for number in range(3):
            patch = (8 + 4 * number, 8, 24 + 4 * number, 24)
            (tmp_path / "in" / label / f"{number}.png").write_bytes(encoded(picture((patch, rgb))))
    (tmp_path / "in" / "red-bolt" / "torn.png").write_bytes(b"no picture")
    (tmp_path / "in" / "untagged.png").write_bytes(b"")
    return tmp_path / "in"


def test_ray_and_the_service_write_the_same_files(
    cluster: None, tiny_bundle: Bundle, folder: Path, tmp_path: Path
) -> None:
    from service.batch.ray_labelling import RayPlan, label_with_ray

    settings = tiny_settings(tiny_bundle.folder)
    worklist = worklist_from_names(folder, "folder")
    done: list[Failure | None] = []
    plan = RayPlan(workers=2, cpus_per_worker=1, gpus_per_worker=0, batch_size=2)
    summary = label_with_ray(LabelJob(folder, tmp_path / "ray", worklist), settings, plan, done.append)
    assert (summary.labelled, summary.resumed, summary.detections, len(done)) == (9, 0, 9, 13)
    assert sorted(failure.code for failure in summary.failures) == [
        "no_tags",
        "not_an_image",
        "unknown_tag",
        "unknown_tag",
        "unknown_tag",
    ]

    async def send(url: str) -> None:
        async with AsyncClient(url) as client:
            await label_folder(LabelJob(folder, tmp_path / "http", worklist), client, workers=2, on_done=lambda _: None)

    with live_server(create_app(settings)) as url:
        asyncio.run(send(url))
    for name in (DATASET, RESULTS, LEDGER, FAILURES):
        assert (tmp_path / "ray" / name).read_bytes() == (tmp_path / "http" / name).read_bytes(), name

    again = label_with_ray(LabelJob(folder, tmp_path / "ray", worklist), settings, plan, done.append)
    assert (again.labelled, again.resumed) == (9, 9)
