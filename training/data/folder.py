"""Reader for a plain folder of tagged images.

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
from training.data.tagged import Problem, TaggedDataset, TaggedImage
from weaksam.files.image_files import find_images
from weaksam.files.tag_files import TagFileError, joined_rows, read_sidecar, read_tag_table, sidecar_of, split_tags

_TagsOfFile = dict[Path, tuple[str, ...]]


def read_folder(root: Path) -> TaggedDataset:
    """Read all images below `root` with their tags; ids are paths relative to it, without suffix.

    Raises:
        ValueError: the folder has no image at all, or no tags for any of them.
    """
    report = Report(root)
    files = find_images(root)
    for problem in files.problems:
        report.problems.append(Problem(problem.path, problem.code, problem.message))
    written = _read_tags(root, [root / path for path in files.paths], report)
    if not any(written.values()):
        raise ValueError(
            f"{root}: {len(files.paths)} images and no tags; add tags.csv, x.txt beside x.jpg, or sub-folders"
        )
    labels = read_labels_txt(root) or merged_labels([tag for tags in written.values() for tag in tags])
    known = KnownLabels.of(labels)
    images: dict[str, TaggedImage] = {}
    for path, tags in written.items():
        image = _read_image(root, path, tags, known, report)
        if image is not None and image.id in images:
            report.add(path, "id", f"another image has the id {image.id!r} too; the image is left out")
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


def _read_tags(root: Path, images: list[Path], report: Report) -> _TagsOfFile:
    table = root / "tags.csv"
    if table.is_file():
        return _tags_from_csv(root, table, images, report)
    if any(sidecar_of(path) for path in images):
        return {path: _tags_from_sidecar(path, report) for path in images}
    folders = {path: path.relative_to(root).parts[:-1] for path in images}
    return {path: split_tags(parts[0]) if parts else () for path, parts in folders.items()}


def _tags_from_csv(root: Path, table: Path, images: list[Path], report: Report) -> _TagsOfFile:
    tags_of: _TagsOfFile = {}
    for file, tags in joined_rows(read_tag_table(table)).items():
        path = root / file
        if _lies_below(path, root):
            tags_of[path] = tags
        else:
            report.add(table, f"file {file!r}", "it is not below the folder; it is left out")
    for path in images:
        if path not in tags_of:
            report.add(path, "tags", "the image is not in tags.csv; it is left out")
    return tags_of


def _lies_below(path: Path, root: Path) -> bool:
    """As it is written, ``..`` included: a link may lead anywhere."""
    here = Path.cwd()
    return Path(os.path.normpath(here / path)).is_relative_to(os.path.normpath(here / root))


def _tags_from_sidecar(image: Path, report: Report) -> tuple[str, ...]:
    sidecar = sidecar_of(image)
    if sidecar is None:
        report.add(image, "tags", "there is no .txt or .json beside the image; it has no tags")
        return ()
    try:
        return read_sidecar(sidecar)
    except TagFileError as error:
        report.add(sidecar, error.field, f"{error}; the image has no tags")
        return ()
