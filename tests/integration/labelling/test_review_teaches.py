"""The loop closed: a service labels, people review, and what they confirmed is learnt from and measured on."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import httpx
import pytest

from models.bundle import Bundle
from tests.integration.training.test_pgt import ADAPTIVE, FIRST, GREEN, NUT, RED, SECOND, boxes_of, xywh
from tests.support.bundles.tiny_bundle import LABELS, encoded, picture
from training.data.formats.coco import read_coco
from training.data.open_dataset import open_dataset
from training.data.tagged import TaggedDataset
from training.evaluation.evaluate import evaluate
from training.pseudo_labels.make import make_pseudo_labels
from training.runs.image_digests import ImageDigests
from weaksam.client import AsyncClient
from weaksam.formats.run_lengths import decode_rle
from weaksam.labelling.run import LabelJob, label_folder
from weaksam.labelling.worklist import worklist_from_table
from weaksam.review.app import Review
from weaksam.review.journal import ReviewJournal
from weaksam.review.labelled_run import open_labelled_run
from weaksam.review.schemas import Decision, ReviewObject

IMAGES = {
    "bolts.png": (picture((FIRST, RED), (SECOND, RED)), "red-bolt"),
    "grey.png": (picture(), "red-bolt"),
    "more.png": (picture((FIRST, RED), (SECOND, RED)), "red-bolt"),
    "nut.png": (picture((NUT, GREEN)), "green-nut"),
}


def label(url: str, photos: Path, out: Path) -> None:
    async def run() -> None:
        job = LabelJob(photos, out, worklist_from_table(photos, photos / "tags.csv"))
        async with AsyncClient(url) as client:
            await label_folder(job, client, workers=2, on_done=lambda _: None)

    asyncio.run(run())


@pytest.fixture
def reviewed(tiny_service: httpx.Client, tmp_path: Path) -> Iterator[Path]:
    """Of the bolts only the second is left, the nut is accepted, `grey` rejected, and nobody has seen `more`."""
    photos = tmp_path / "photos"
    photos.mkdir()
    for name, (image_hwc_u8, _) in IMAGES.items():
        (photos / name).write_bytes(encoded(image_hwc_u8))
    rows = "".join(f"{name},{tag}\n" for name, (_, tag) in IMAGES.items())
    (photos / "tags.csv").write_text(f"file,tags\n{rows}", encoding="utf-8")
    label(str(tiny_service.base_url), photos, tmp_path / "labelled")

    run, out = open_labelled_run(tmp_path / "labelled", photos), tmp_path / "reviewed"
    out.mkdir()
    review = Review(run, ReviewJournal(out / "review.sqlite", run.sha256), out)
    ids = {image.file_name: image.id for image in run.images.values()}
    second = ReviewObject(label="red-bolt", box_xyxy=SECOND)
    review.decide(ids["bolts.png"], Decision(reviewer="ann", version=0, state="corrected", objects=(second,)))
    review.decide(ids["nut.png"], Decision(reviewer="ann", version=0, state="accepted", objects=None))
    review.decide(ids["grey.png"], Decision(reviewer="ann", version=0, state="rejected", objects=None))
    review.write()
    yield out
    review.journal.close()


def by_name(dataset: TaggedDataset) -> dict[str, tuple[bool | None, tuple[str, ...], int]]:
    return {image.path.name: (image.confirmed, image.tags, len(image.objects)) for image in dataset.images}


def test_training_reads_boxes_of_confirmed_images_and_tags_of_all_others(reviewed: Path) -> None:
    dataset = open_dataset(reviewed, "train")
    assert dataset.problems == ()
    assert dataset.labels == LABELS.names
    assert by_name(dataset) == {
        "bolts.png": (True, ("red-bolt",), 1),
        "grey.png": (False, ("red-bolt",), 0),
        "more.png": (False, ("red-bolt",), 0),
        "nut.png": (True, ("green-nut",), 1),
    }


def test_confirmed_objects_are_pseudo_ground_truth_as_they_are(
    reviewed: Path, tiny_bundle: Bundle, tmp_path: Path
) -> None:
    images = open_dataset(reviewed, "train").images
    out = tmp_path / "pgt"
    found = boxes_of(make_pseudo_labels(replace(ADAPTIVE, masks=True), tiny_bundle.folder, images, LABELS, out))
    assert found["bolts.png", "red-bolt"] == [xywh(SECOND)]
    assert found["nut.png", "green-nut"] == [xywh(NUT)]
    assert len(found["more.png", "red-bolt"]) == 2
    for image in read_coco(out, "train").images:
        for thing in image.objects:
            assert thing.mask_rle is not None
            x0, y0, x1, y1 = map(int, thing.box_xyxy)
            assert decode_rle(thing.mask_rle)[y0:y1, x0:x1].all()


def test_only_confirmed_images_are_measured(reviewed: Path, tiny_bundle: Bundle) -> None:
    report = evaluate(tiny_bundle.folder, reviewed, "train")
    assert (report["images"], report["objects"]) == (2, 2)
    # the reviewer left one of the two bolts out, and both are found with the same score
    assert report["per_class"]["green-nut"]["ap50_tagged"] == 1.0
    assert report["per_class"]["red-bolt"]["ap50_tagged"] < 1.0


def test_a_confirmation_makes_what_was_learnt_without_it_anew(reviewed: Path, tmp_path: Path) -> None:
    images = open_dataset(reviewed, "train").images
    digests = ImageDigests(tmp_path / "images.json")
    unsaid = [replace(image, confirmed=None) for image in images]
    assert digests.of_images(images) != digests.of_images(unsaid)
    assert digests.of_images([replace(image, confirmed=False) for image in images]) == digests.of_images(unsaid)
