"""How photographs with masks are drawn, cropped and mixed with generated images."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from models.config import load_config
from tests.support.trainings.masked_images import MANY, write_masked_images
from tests.support.trainings.tiny_runs import CONFIGS, SAM
from training.sam.batches import PromptedImages
from training.sam.config import SamConfig, SourceConfig
from training.sam.images.photographs import MAX_ENLARGEMENT, crop_view, crop_window, read_domains
from training.sam.images.views import View

SIDE = 64


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_masked_images(tmp_path_factory.mktemp("masked"))


def test_domains_are_the_folders(root: Path) -> None:
    domains = read_domains(SourceConfig(root, 1.0))
    assert [len(domain) for domain in domains] == [3, 3]
    assert {len(image.objects) for image in domains[1]} == {MANY}


def test_a_domain_that_is_held_out_is_never_seen(root: Path) -> None:
    (kept,) = read_domains(SourceConfig(root, 1.0, exclude_domains=("many",)))
    assert {image.id.split("/")[0] for image in kept} == {"few"}
    with pytest.raises(ValueError, match="has no 'more'; it has"):
        read_domains(SourceConfig(root, 1.0, exclude_domains=("more",)))


def test_domains_are_drawn_alike_however_many_masks_they_have(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    drawn = Counter[str]()

    def remember(rng: np.random.Generator, image_hw: object, box_xyxy: tuple[float, ...], side_px: int) -> object:
        drawn["few" if box_xyxy[2] - box_xyxy[0] > 20 else "many"] += 1
        return 0, 0, 100, 80

    monkeypatch.setattr("training.sam.images.photographs.crop_window", remember)
    monkeypatch.setattr("training.sam.images.photographs.PASTE_SHARE", 0.0)
    rng, domains = np.random.default_rng(0), read_domains(SourceConfig(root, 1.0))
    for _ in range(100):
        crop_view(rng, domains, SIDE)
    assert 35 < drawn["few"] < 65


def test_sources_are_mixed_by_their_weights(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    base = load_config(SamConfig, CONFIGS / "stages/sam.toml", SAM)
    config = replace(base, shapes_weight=1.0, sources=(SourceConfig(root, 3.0),))
    nothing = View(np.zeros((SIDE, SIDE, 3), np.uint8), np.ones((1, SIDE, SIDE), np.bool_), complete=True)
    kinds = Counter[str]()

    def view_of(kind: str) -> Callable[..., View]:
        def view(*_: object) -> View:
            kinds[kind] += 1
            return nothing

        return view

    monkeypatch.setattr("training.sam.batches.shapes_view", view_of("shapes"))
    monkeypatch.setattr("training.sam.batches.crop_view", view_of("source"))
    images = PromptedImages(config, [read_domains(config.sources[0])], range(200))
    for i in range(200):
        images.view(np.random.default_rng(i), SIDE)
    assert kinds.total() == 200
    assert kinds["source"] / 200 == pytest.approx(0.75, abs=0.08)


def test_crops_show_an_object_at_all_sizes_and_stay_in_the_image() -> None:
    rng, box_xyxy = np.random.default_rng(0), (100.0, 60.0, 140.0, 100.0)
    shares = []
    for _ in range(300):
        left, top, right, bottom = crop_window(rng, (300, 400), box_xyxy, SIDE)
        assert 0 <= left < right <= 400
        assert 0 <= top < bottom <= 300
        assert min(right - left, bottom - top) >= int(SIDE / MAX_ENLARGEMENT)
        assert max(left, 100) < min(right, 140), "some of the object is seen"
        assert max(top, 60) < min(bottom, 100)
        shares.append(40 / max(right - left, bottom - top))
    assert min(shares) < 0.15
    assert max(shares) > 0.7


def test_a_view_is_letterboxed_and_its_masks_lie_on_its_objects(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("training.sam.images.photographs.PASTE_SHARE", 0.0)
    monkeypatch.setattr("training.sam.images.photographs.change_colours", lambda rng, image: image)
    rng, domains = np.random.default_rng(2), read_domains(SourceConfig(root, 1.0))
    for _ in range(20):
        view = crop_view(rng, domains, SIDE)
        assert view.image_hwc_u8.shape == (SIDE, SIDE, 3)
        assert view.masks.shape[1:] == (SIDE, SIDE)
        for mask in view.masks:
            assert view.image_hwc_u8[mask].mean() > 180, "objects are the bright squares"


def test_shapes_are_pasted_on_the_share_of_crops_that_was_asked_for(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("training.sam.images.photographs.PASTE_SHARE", 0.0)
    domains = read_domains(SourceConfig(root, 1.0, exclude_domains=("many",)))
    counts = {
        share: np.mean([len(crop_view(np.random.default_rng(i), domains, SIDE, share).masks) for i in range(40)])
        for share in (0.0, 0.5, 1.0)
    }
    assert counts[0.0] + 0.5 < counts[0.5] < counts[1.0] - 0.5
