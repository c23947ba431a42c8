"""Labelling on a cluster, without the cluster: Ray is stood in for by what its workers call."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest

from models.bundle import Bundle
from service.inference.decoding import decode
from service.inference.mask_rendering import MaskRenderer
from tests.support.bundles.service_parts import TWO_BOLTS_AND_A_NUT, tiny_settings
from tests.support.bundles.tiny_bundle import encoded
from weaksam.labelling.outputs import FAILURES
from weaksam.labelling.report import read_rows
from weaksam.labelling.run import LabelJob, LabelSummary
from weaksam.labelling.worklist import worklist_from_names

IMAGES = ("a.png", "odd.png", "z.png")


@dataclass
class OneWorker:
    """`ray.data.Dataset`, worked on by one worker in this process."""

    items: list[dict[str, str]]

    def map_batches(
        self, worker: Callable[..., Any], *, fn_constructor_args: tuple[Any, ...], **_: Any
    ) -> SimpleNamespace:
        batch = {name: np.array([item[name] for item in self.items], object) for name in self.items[0]}

        def rows() -> Iterator[dict[str, str]]:
            process = worker(*fn_constructor_args)
            answered = process(batch)
            process._loop.close()  # Ray ends the whole process instead
            yield from (dict(zip(answered, row, strict=True)) for row in zip(*answered.values(), strict=True))

        return SimpleNamespace(iter_rows=rows)


@pytest.fixture
def ray(monkeypatch: pytest.MonkeyPatch) -> None:
    data = ModuleType("ray.data")
    data.from_items = lambda items, **_: OneWorker(items)  # type: ignore[attr-defined]
    data.ActorPoolStrategy = SimpleNamespace  # type: ignore[attr-defined]
    package = ModuleType("ray")
    package.data = data  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "ray", package)
    monkeypatch.setitem(sys.modules, "ray.data", data)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "in" / "red-bolt").mkdir(parents=True)
    for name in IMAGES:
        (tmp_path / "in" / "red-bolt" / name).write_bytes(encoded(TWO_BOLTS_AND_A_NUT))
    return tmp_path / "in"


def label(bundle: Bundle, folder: Path, out: Path, **settings: Any) -> LabelSummary:
    from service.batch.ray_labelling import RayPlan, label_with_ray

    job, plan = LabelJob(folder, out, worklist_from_names(folder, "folder")), RayPlan(1, 1, 0, 2)
    return label_with_ray(job, tiny_settings(bundle.folder, cache_bytes=0, **settings), plan, lambda _: None)


@pytest.mark.usefixtures("ray")
def test_a_fault_of_ours_fails_its_image_alone(
    tiny_bundle: Bundle, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    odd = b"odd"

    def failing(data: bytes, *bounds: int) -> Any:
        if data == odd:
            raise ZeroDivisionError("of the test")
        return decode(data, *bounds)

    monkeypatch.setattr("service.batch.ray_labelling.decode", failing)
    (folder / "red-bolt" / "odd.png").write_bytes(odd)
    summary = label(tiny_bundle, folder, tmp_path / "out")
    assert (summary.labelled, len(summary.failures)) == (2, 1)
    [row] = read_rows(tmp_path / "out" / FAILURES)
    assert (row["image"], row["code"]) == ("red-bolt/odd.png", "internal_error")
    assert "ZeroDivisionError('of the test')" in row["message"]


@pytest.mark.usefixtures("ray")
def test_a_run_without_zoom_leaves_it_to_the_settings(
    tiny_bundle: Bundle, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    zooms, init = [], MaskRenderer.__init__

    def noted(self: MaskRenderer, *arguments: Any, zoom: bool) -> None:
        zooms.append(zoom)
        init(self, *arguments, zoom=zoom)

    monkeypatch.setattr(MaskRenderer, "__init__", noted)
    label(tiny_bundle, folder, tmp_path / "out", zoom=True)
    assert zooms == [True] * len(IMAGES)
    options = json.loads((tmp_path / "out" / "dataset.json").read_text())["info"]["options"]
    assert "zoom" not in options
