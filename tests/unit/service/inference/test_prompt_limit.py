"""How many prompts a request may ask, of the default bundle, whose segmenter has a prompt map."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path

import pytest

from models.bundle import DETECTOR, Bundle
from models.bundle_files.manifest import load_bundle
from models.image import read_image
from service.inference.prompt_budget import prompt_limit
from tests.support.bundles.service_parts import decoded, tiny_pipeline
from weaksam.schemas import DetectOptions

MISSED = (3,)


@pytest.fixture(scope="module")
def bundle(default_bundle_dir: Path) -> Bundle:
    return load_bundle(default_bundle_dir)


def test_each_missed_tag_gets_its_prompts_up_to_those_of_an_image(bundle: Bundle) -> None:
    limits = [prompt_limit(bundle, tuple(range(count)), full=False) for count in (1, 2, 3)]
    assert limits == [24, 48, bundle.prompts.max_prompts]


def test_all_prompts_are_asked_if_the_detector_did_not_choose_the_classes(bundle: Bundle) -> None:
    weak = replace(bundle, graphs={name: graph for name, graph in bundle.graphs.items() if name != DETECTOR})
    assert prompt_limit(bundle, MISSED, full=True) == bundle.prompts.max_prompts
    assert prompt_limit(weak, MISSED, full=False) == bundle.prompts.max_prompts


def test_a_grid_and_a_setting_of_none_ask_all_prompts(bundle: Bundle) -> None:
    with_grid, unlimited = replace(bundle.prompts, map_max_count=0), replace(bundle.prompts, missed_tag_prompts=0)
    for prompts in (with_grid, unlimited):
        assert prompt_limit(replace(bundle, prompts=prompts), MISSED, full=False) == prompts.max_prompts


def test_a_tag_that_the_detector_misses_costs_fewer_prompts_than_full_effort(
    default_bundle_dir: Path, repository_dir: Path
) -> None:
    image, missing = decoded(read_image(repository_dir / "samples/taxiway.jpg")), ["rock"]

    async def prompts_asked() -> list[int]:
        pipeline = tiny_pipeline(default_bundle_dir)
        efforts = [DetectOptions(effort=effort) for effort in ("fast", "full", "fast")]
        return [(await pipeline.detect(image, missing, options)).prompts_asked for options in efforts]

    fast, full, fast_again = asyncio.run(prompts_asked())
    assert 0 < fast <= 24 < full
    assert fast_again == fast, "what the cache keeps of the one is not taken for the other"
