"""The reviewed data set as COCO: boxes and masks of confirmed images, tags of all others, to train on and measure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from weaksam.files.image_source import is_address
from weaksam.formats.coco import REVIEWED, Row, annotation_row, category_rows, dataset_file, image_row
from weaksam.formats.labelled import LabelledImage
from weaksam.review.journal import Decided
from weaksam.review.labelled_run import LabelledRun, review_object
from weaksam.review.schemas import ReviewObject
from weaksam.segment_schemas import PixelBox
from weaksam.tag_texts import fold_label

ANNOTATIONS_JSON = Path(REVIEWED)
IMAGES = "images"


def objects_of(image: LabelledImage, decided: Decided | None) -> tuple[ReviewObject, ...]:
    """Return the objects of an image as they stand: as corrected, or as found."""
    if decided is not None and decided.objects is not None:
        return decided.objects
    return tuple(review_object(thing) for thing in image.objects if _has_area(thing.box_xyxy))


def _has_area(box_xyxy: PixelBox) -> bool:
    return box_xyxy[0] < box_xyxy[2] and box_xyxy[1] < box_xyxy[3]


def write_reviewed(run: LabelledRun, latest: Mapping[int, Decided], out: Path) -> None:
    """Write ``out/annotations/instances_train.json``, and ``out/images``, a link to photographs that lie here.

    An image that is accepted or corrected is `confirmed`: its annotations are all its objects. Any other has its tags
    alone. Ids of images and categories are those of the labelling run.

    Raises:
        OSError: a file or the link cannot be written.
    """
    (out / ANNOTATIONS_JSON).parent.mkdir(parents=True, exist_ok=True)
    if not is_address(run.photos):
        _link(out / IMAGES, run.photos)
    images = sorted(run.images.values(), key=lambda image: image.id)
    spellings = _spellings(run, latest)
    labels = tuple(spellings.values())
    category_ids = {label: id_ for id_, label in enumerate(labels, start=1)}
    states = Counter(decided.state for decided in latest.values())
    info = run.found.info | {"description": "Labelled by weaksam, reviewed by people", "review": dict(states)}
    with dataset_file(out / ANNOTATIONS_JSON, info, category_rows(labels)) as document:
        for image in images:
            decided = latest.get(image.id)
            confirmed = decided is not None and decided.state != "rejected"
            objects = _spelled(objects_of(image, decided), spellings) if confirmed else ()
            tags = tuple(dict.fromkeys(thing.label for thing in objects)) if confirmed else image.tags
            document.images.add(_image_row(image, tags, decided, confirmed=confirmed))
            for row in _annotation_rows(image.id, objects, category_ids):
                document.add_annotation(row)


def _spellings(run: LabelledRun, latest: Mapping[int, Decided]) -> dict[str, str]:
    """Return the run's labels, and behind them those that reviewers added, by how they are compared.

    Readers take two spellings of a name for a mistake, so the run's own counts, or else the first.
    """
    added = (thing.label for decided in latest.values() for thing in decided.objects or ())
    spellings: dict[str, str] = {}
    for label in (*run.found.labels, *sorted(added)):
        spellings.setdefault(fold_label(label), label)
    return spellings


def _spelled(objects: Iterable[ReviewObject], spellings: Mapping[str, str]) -> tuple[ReviewObject, ...]:
    return tuple(thing.model_copy(update={"label": spellings[fold_label(thing.label)]}) for thing in objects)


def _image_row(image: LabelledImage, tags: Sequence[str], decided: Decided | None, *, confirmed: bool) -> Row:
    digest = {} if image.sha256 is None else {"sha256": image.sha256}
    state = {} if decided is None else {"review_state": decided.state, "reviewer": decided.reviewer}
    return image_row(image.id, image.file_name, image.size_hw, **digest, tags=list(tags), confirmed=confirmed, **state)


def _annotation_rows(image_id: int, objects: Sequence[ReviewObject], category_ids: Mapping[str, int]) -> Iterator[Row]:
    for thing in objects:
        mask = None if thing.mask is None else thing.mask.rle()
        yield annotation_row(image_id, category_ids[thing.label], thing.box_xyxy, mask)


def _link(link: Path, photos: Path) -> None:
    target = photos.resolve()
    if link.is_symlink():
        if link.resolve() == target:
            return
        link.unlink()
    link.symlink_to(target, target_is_directory=True)
