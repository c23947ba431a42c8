"""Reader for a plain folder of tagged pictures.

Tags come from the first of these that the folder has:
    ROOT/tags.csv         columns `file` and `tags`; several tags separated by `;` or `,`; rows of one file are joined
    sidecar files         beside x.jpg: x.txt (separated by lines, `,` or `;`) or x.json (a list, or {"tags": [...]})
    folder names          ROOT/wrench,bolt/x.jpg is tagged `wrench` and `bolt`

Hidden files and folders are left out. `weaksam label` reads the same forms.
"""

from __future__ import annotations

import os
from pathlib import Path

from training.data.checks import KnownLabels, Report, merged_labels, read_labels_txt, usable_size_hw
from training.data.tagged import TaggedDataset, TaggedImage
from weaksam.files.image_files import IMAGE_SUFFIXES
from weaksam.files.tag_files import TagFileError, joined_rows, read_sidecar, read_tag_table, sidecar_of, split_tags

_TagsOfFile = dict[Path, tuple[str, ...]]


def read_folder(root: Path) -> TaggedDataset:
    """All pictures below `root` with their tags; ids are paths relative to it, without suffix.

    Raises ValueError where the folder has no picture at all or no tags for any of them.
    """
    report = Report(root)
    pictures = sorted(path for path in root.rglob("*") if _is_picture(path, root))
    written = _read_tags(root, pictures, report)
    if not any(written.values()):
        raise ValueError(
            f"{root}: {len(pictures)} pictures and no tags; add tags.csv, x.txt beside x.jpg, or sub-folders"
        )
    labels = read_labels_txt(root) or merged_labels([tag for tags in written.values() for tag in tags])
    known = KnownLabels.of(labels)
    images: dict[str, TaggedImage] = {}
    for path, tags in written.items():
        image = _read_image(root, path, tags, known, report)
        if image is not None and image.id in images:
            report.add(path, "id", f"another picture has the id {image.id!r} too; the image is left out")
        elif image is not None:
            images[image.id] = image
    return TaggedDataset(root.name, labels, tuple(images.values()), tuple(report.problems))


def _read_image(
    root: Path, path: Path, tags: tuple[str, ...], known: KnownLabels, report: Report
) -> TaggedImage | None:
    size_hw = usable_size_hw(path, report)
    if size_hw is None:
        return None
    labels = [known.checked(tag, path, "tags", report) for tag in tags]
    distinct = tuple(sorted({label for label in labels if label is not None}))
    return TaggedImage(path.relative_to(root).with_suffix("").as_posix(), path, size_hw, distinct)


def _read_tags(root: Path, pictures: list[Path], report: Report) -> _TagsOfFile:
    table = root / "tags.csv"
    if table.is_file():
        return _tags_from_csv(root, table, pictures, report)
    if any(sidecar_of(path) for path in pictures):
        return {path: _tags_from_sidecar(path, report) for path in pictures}
    folders = {path: path.relative_to(root).parts[:-1] for path in pictures}
    return {path: split_tags(parts[0]) if parts else () for path, parts in folders.items()}


def _is_picture(path: Path, root: Path) -> bool:
    hidden = any(part.startswith(".") for part in path.relative_to(root).parts)
    return not hidden and path.suffix.lower() in IMAGE_SUFFIXES and path.is_file()


def _tags_from_csv(root: Path, table: Path, pictures: list[Path], report: Report) -> _TagsOfFile:
    tags_of: _TagsOfFile = {}
    for file, tags in joined_rows(read_tag_table(table)).items():
        path = root / file
        if _lies_below(path, root):
            tags_of[path] = tags
        else:
            report.add(table, f"file {file!r}", "it is not below the folder; it is left out")
    for path in pictures:
        if path not in tags_of:
            report.add(path, "tags", "the picture is not in tags.csv; it is left out")
    return tags_of


def _lies_below(path: Path, root: Path) -> bool:
    """As it is written, ``..`` included: a link may lead anywhere."""
    here = Path.cwd()
    return Path(os.path.normpath(here / path)).is_relative_to(os.path.normpath(here / root))


def _tags_from_sidecar(picture: Path, report: Report) -> tuple[str, ...]:
    sidecar = sidecar_of(picture)
    if sidecar is None:
        report.add(picture, "tags", "there is no .txt or .json beside the picture; it has no tags")
        return ()
    try:
        return read_sidecar(sidecar)
    except TagFileError as error:
        report.add(sidecar, error.field, f"{error}; the picture has no tags")
        return ()
