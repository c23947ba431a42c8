"""2x2 mosaics of photographs: several kinds in one image, from data sets that show one kind at a time.

Each photograph keeps its full resolution. Exactly half of the mosaics (of an even count) repeat a kind: two of the four
tiles, from different photographs, share a tag; all other tiles of a mosaic share none. Photographs are drawn least
used first, so each is used about equally often.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from models.image import read_image
from training.data.dataset_writer import require_new_folder, write_jpeg, write_lines, write_tags_csv
from training.data.image_grid import cell_offsets_xy, join_in_grid
from training.data.tagged import TaggedDataset, TaggedImage
from weaksam.errors import UserError
from weaksam.formats.voc import VocObject, write_voc_annotation

TILES = 4
GAP_RGB = (124, 116, 104)  # where a photograph leaves its quarter free: a grey near the mean of photographs
_MOSAIC_JPEG_QUALITY = 95


def make_mosaics(source: TaggedDataset, split: str, out_dir: Path, count: int, seed: int) -> Iterator[str]:
    """Write `count` mosaics of `source` as split `split` of a VOC data set, and yield each id once it is written.

    Exhaust the iterator: lists are written at its end. Raises UserError where `source` has too few kinds or
    photographs, or `out_dir` is not empty.
    """
    require_new_folder(out_dir)
    for folder in ("JPEGImages", "Annotations", "ImageSets/Main"):
        (out_dir / folder).mkdir(parents=True, exist_ok=True)
    tags_of_file: dict[str, list[str]] = {}
    for index, tiles in enumerate(plan_mosaics(source.images, count, seed)):
        image_id = f"{split}-{index:06d}"
        tags_of_file[f"JPEGImages/{image_id}.jpg"] = sorted({tag for tile in tiles for tag in tile.tags})
        _write_mosaic(out_dir, image_id, tiles)
        yield image_id
    ids = [Path(file).stem for file in tags_of_file]
    write_lines(out_dir / "ImageSets" / "Main" / f"{split}.txt", ids)
    write_lines(out_dir / "labels.txt", source.labels)
    write_tags_csv(out_dir / "tags.csv", tags_of_file)


def plan_mosaics(images: Sequence[TaggedImage], count: int, seed: int) -> list[tuple[TaggedImage, ...]]:
    """Return the four photographs of each mosaic, in reading order. Mosaics that repeat a kind lie among the others."""
    rng = np.random.default_rng(seed)
    deck = _Deck([image for image in images if image.tags], rng)
    repeats = rng.permutation(np.arange(count) % 2 == 1)
    mosaics = []
    for repeat in repeats:
        tiles = [deck.draw([], None)]
        if repeat:
            tiles.append(deck.draw(tiles, tiles[0]))
        while len(tiles) < TILES:
            tiles.append(deck.draw(tiles, None))
        mosaics.append(tuple(tiles[place] for place in rng.permutation(TILES)))
    return mosaics


class _Deck:
    """Deals photographs, least used first."""

    def __init__(self, images: Sequence[TaggedImage], rng: np.random.Generator) -> None:
        self._images = images
        self._kinds = sorted({image.tags for image in images})
        tags = sorted({tag for image in images for tag in image.tags})
        self._has_tag: npt.NDArray[np.bool_] = np.array(
            [[tag in image.tags for tag in tags] for image in images], dtype=np.bool_
        )
        self._used = np.zeros(len(images), np.int64)
        self._index = {image.id: number for number, image in enumerate(images)}
        self._rng = rng

    def draw(self, tiles: Sequence[TaggedImage], like: TaggedImage | None) -> TaggedImage:
        """Return one that shares no tag with `tiles`; or, with `like`, another photograph of exactly its tags."""
        taken = [self._index[tile.id] for tile in tiles]
        if like is None:
            unfit = (self._has_tag & self._has_tag[taken].any(axis=0)).any(axis=1)
        else:
            unfit = (self._has_tag != self._has_tag[self._index[like.id]]).any(axis=1)
        fits = np.logical_not(unfit, dtype=np.bool_)
        fits[taken] = False
        if not fits.any():
            kinds = ", ".join("+".join(kind) for kind in self._kinds)
            raise UserError(f"source: mosaics need four kinds with no tag in common, two photographs each; has {kinds}")
        # a random number below one breaks ties between equally used photographs
        rank = np.where(fits, self._used + self._rng.random(len(fits)), np.inf)
        chosen = int(rank.argmin())
        self._used[chosen] += 1
        return self._images[chosen]


def _write_mosaic(out_dir: Path, image_id: str, tiles: Sequence[TaggedImage]) -> None:
    cell_hw = (max(tile.size_hw[0] for tile in tiles), max(tile.size_hw[1] for tile in tiles))
    mosaic = join_in_grid([read_image(tile.path) for tile in tiles], 2, cell_hw, GAP_RGB)
    offsets_xy = cell_offsets_xy(2, cell_hw)
    objects = [thing for tile, (x, y) in zip(tiles, offsets_xy, strict=True) for thing in _moved_objects(tile, x, y)]
    write_jpeg(out_dir / "JPEGImages" / f"{image_id}.jpg", mosaic, _MOSAIC_JPEG_QUALITY)
    path = out_dir / "Annotations" / f"{image_id}.xml"
    write_voc_annotation(path, f"{image_id}.jpg", (mosaic.shape[0], mosaic.shape[1]), objects, zero_based=True)


def _moved_objects(tile: TaggedImage, left: int, top: int) -> list[VocObject]:
    """Return the tile's true objects in the mosaic's frame, and its tags that have none."""
    objects = []
    for thing in tile.objects:
        x0, y0, x1, y1 = thing.box_xyxy
        objects.append(VocObject(thing.label, (x0 + left, y0 + top, x1 + left, y1 + top), thing.difficult))
    unplaced = sorted(set(tile.tags) - {thing.label for thing in tile.objects})
    return objects + [VocObject(tag, None) for tag in unplaced]
