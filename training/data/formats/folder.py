"""Reader for a plain folder of tagged images.

Tags come from the first of these that the folder has:
    ROOT/tags.csv         columns `file` and `tags`; several tags separated by `;` or `,`; rows of one file are joined
    ROOT/_classes.csv     Roboflow's table of tags: a column for the file, and one with 0 or 1 for each class
    sidecar files         beside x.jpg: x.txt (separated by lines, `,` or `;`) or x.json (a list, {"tags": [...]}, or
                          what LabelMe and X-AnyLabeling write, whose shapes are objects too)
    folder names          ROOT/wrench,bolt/x.jpg is tagged `wrench` and `bolt`

An empty `tags` cell or an empty sidecar says that the image shows none of the classes: it is a negative.
Folders named train, val and test (or valid) are splits, and hold the folders of classes: two of them, or train alone.
Hidden files and folders are left out. `weaksam label` reads the same forms.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from pathlib import Path, PurePosixPath

from training.data.checks import Report, merged_labels, read_labels_txt, read_text
from training.data.formats.documents import report_damaged
from training.data.formats.labelme import read_shapes
from training.data.locate import entries, image_id, image_paths
from training.data.numbers import SET, is_set
from training.data.splits import SPLITS, read_split, split_of_name
from training.data.tagged import TaggedDataset
from training.data.written import WrittenImage, checked_dataset
from weaksam.errors import UserError
from weaksam.files.file_names import ambiguous, match_names
from weaksam.files.image_files import IMAGE_SUFFIXES, find_images
from weaksam.files.path_checks import is_file
from weaksam.files.tag_files import BOXES, TagFileError, joined_rows, read_sidecar, read_tag_table, sidecar_of
from weaksam.tag_texts import split_written_tags

_TagsOfFile = dict[str, tuple[str, ...]]
# A layout that is not known would else be read as classes of these names.
LAYOUT_WORDS = {
    *("annotations", "data", "dataset", "image", "images", "img", "imgs", "jpegimages", "label", "labels", "photos"),
    *("pictures", "test", "train", "val", "valid", "validation"),
}
FLAGS = (*SET, "0", "0.0", "false", "")
TABLE, ROBOFLOW_CLASSES = "tags.csv", "_classes.csv"


def read_folder(root: Path, split: str = "train") -> TaggedDataset:
    """Read all images below `root` with their tags; ids are paths relative to it, without suffix.

    Raises:
        UserError: the folder has no image at all or no tags for any of them, or there is no such split.
    """
    folders = _split_folders(root)
    if not folders and split not in ("train", "val", "fit"):
        raise UserError(
            f"split: {root} is a plain folder, which has train, val and fit, not {split!r}; name a data set with boxes "
            "for it, or train without it (--set data.test=none)"
        )
    reports = {name: Report(root) for name in folders or ("train",)}
    for report in reports.values() if not is_file(root / TABLE) else ():  # a table speaks for all
        report_damaged(root, report)
    written = {name: _read_tags(folders.get(name, root), report) for name, report in reports.items()}
    for report in reports.values() if folders else ():
        _report_others(root, folders, report)
    # The classes of all splits: of one split's alone, a rare class would be unknown in another.
    names = [tag for tags_of in written.values() for tags in tags_of.values() for tag in tags]
    if all(tags == _folder_tags(path) for tags_of in written.values() for path, tags in tags_of.items()):
        _refuse_layout_words(root, names)
    labels = read_labels_txt(root) or merged_labels(names)
    return read_split(
        root.name,
        split,
        reports,
        lambda name: _dataset(root, folders.get(name, root), written[name], labels, reports[name]),
    )


def _split_folders(root: Path) -> dict[str, Path]:
    """Return the folders of splits: two or more, or `train` alone if no other folder holds images."""
    here = entries(root)
    named = [(split_of_name(path.name), path) for path in here if path.is_dir()]
    folders = {split: path for split, path in named if split in SPLITS}
    loose = any(is_file(path) and path.suffix.lower() in (*IMAGE_SUFFIXES, ".csv") for path in here)
    if "train" not in folders or loose:
        return {}
    if len(folders) > 1:
        return folders
    others = any(split not in SPLITS and image_paths(path) for split, path in named)
    return folders if not others and any(path.is_dir() for path in entries(folders["train"])) else {}


def _report_others(root: Path, folders: dict[str, Path], report: Report) -> None:
    for path in image_paths(root):
        if not any((root / path).is_relative_to(folder) for folder in folders.values()):
            report.add(root / path, "tags", "the image lies in none of the folders of splits; it is left out")


def _refuse_layout_words(root: Path, names: Sequence[str]) -> None:
    words = sorted(set(names))
    folded = {split_of_name(word).lower() for word in words}
    if words and (folded <= LAYOUT_WORDS or ("train" in folded and folded & SPLITS - {"train"})):
        raise UserError(
            f"data: {root} has folders named {', '.join(words)}, which are no classes, and no file that says what is "
            "in their images: add tags.csv or the annotations"
        )


def _dataset(root: Path, folder: Path, written: _TagsOfFile, labels: Sequence[str], report: Report) -> TaggedDataset:
    tables = [name for name in (TABLE, ROBOFLOW_CLASSES) if is_file(folder / name)]
    if not any(written.values()):
        reasons = "".join(f"; {problem.file}: {problem.message}" for problem in report.problems[:1])
        remedy = f"write some into {tables[0]}" if tables else "add tags.csv, x.txt beside x.jpg, or sub-folders"
        raise UserError(f"{folder}: {len(find_images(folder).paths)} images and no tags; {remedy}{reasons}")
    images = [
        _written_image(root, folder / path, tags, None if tables else sidecar_of(folder / path), report)
        for path, tags in written.items()
    ]
    return checked_dataset(root.name, labels, images, report)


def _written_image(root: Path, path: Path, tags: tuple[str, ...], sidecar: Path | None, report: Report) -> WrittenImage:
    if sidecar is None or sidecar.suffix == ".txt":
        return WrittenImage(image_id(root, path), path, path, "tags", tags)
    shapes = read_shapes(sidecar, report)
    return WrittenImage(image_id(root, path), path, sidecar, "tags", tags, shapes.objects, shapes.size_hw)


def _read_tags(folder: Path, report: Report) -> _TagsOfFile:
    """Return the tags of those images of which they are known; the others are reported.

    Raises:
        UserError: there is no image.
    """
    files = find_images(folder)
    for problem in files.problems:
        report.add(folder / problem.path, problem.code, problem.message)
    paths = files.paths
    for name, read in ((TABLE, _rows_of_table), (ROBOFLOW_CLASSES, _rows_of_classes)):
        if is_file(folder / name):
            return _tags_from_csv(folder, folder / name, read(folder / name), paths, report)
    sidecars = {path: sidecar for path in paths if (sidecar := sidecar_of(folder / path)) is not None}
    tags, errors = _read_sidecars(sidecars)
    if tags or any(error.field != BOXES for error in errors.values()):
        return _tags_from_sidecars(folder, paths, sidecars, tags, errors, report)
    named = {path: _folder_tags(path) for path in paths if "/" in path}
    if errors and named:
        first = sidecars[next(iter(errors))].relative_to(report.root)
        report.notes.append(
            f"{len(errors)} files, such as {first}, hold boxes in YOLO format, not tags: they are not read, tags come "
            "from the folders' names"
        )
    for path in paths:
        if path not in named:
            error = errors.get(path)
            reason = f"{sidecars[path].name} {error}" if error else "the image lies in no folder named after its tags"
            report.add(folder / path, "tags", f"{reason}; it is left out")
    return named


def _folder_tags(path: str) -> tuple[str, ...]:
    """Return the tags that the first folder of an image is named after."""
    return split_written_tags(PurePosixPath(path).parts[0]) if "/" in path else ()


def _rows_of_table(path: Path) -> _TagsOfFile:
    return joined_rows(read_tag_table(path))


def _rows_of_classes(path: Path) -> _TagsOfFile:
    """Return the tags of Roboflow's table: a column for the file, and one with 0 or 1 for each class."""
    try:
        rows = csv.reader(io.StringIO(read_text(path), newline=""))
        lines = [(number, [cell.strip() for cell in row]) for number, row in enumerate(rows, start=1) if any(row)]
    except csv.Error as error:
        raise UserError(f"{path} cannot be read as a CSV ({error})") from error
    names = lines[0][1][1:] if lines else []
    if not names:
        raise UserError(f"{path}: the first line must name the column of files, then the classes, separated by commas")
    joined: _TagsOfFile = {}
    for number, (file, *cells) in lines[1:]:
        flags, spilled = cells[: len(names)], cells[len(names) :]
        if len(flags) != len(names) or any(spilled) or not all(cell.lower() in FLAGS for cell in flags):
            raise UserError(f"{path}, row {number}: must have a file and then 0 or 1 for each of {len(names)} classes")
        tags = (name for name, cell in zip(names, flags, strict=True) if is_set(cell))
        joined[file] = tuple(dict.fromkeys((*joined.get(file, ()), *tags)))
    return joined


def _tags_from_csv(folder: Path, table: Path, listed: _TagsOfFile, paths: Sequence[str], report: Report) -> _TagsOfFile:
    matched = match_names(listed, paths)
    if matched.note is not None:
        report.notes.append(f"{table.name}: {matched.note}")
    tags = matched.tags_by_path(listed)
    unusable = {problem.file for problem in report.problems}
    for name, candidates in matched.candidates_of.items():
        if ".." in PurePosixPath(name).parts:
            report.add(table, f"file {name!r}", "it is not below the folder; it is left out")
        elif candidates:
            report.add(table, f"file {name!r}", f"{ambiguous(candidates)}; the row is left out")
        elif not {name, (folder / name).relative_to(report.root).as_posix()} & unusable:
            report.add(folder / name, "image", f"{table.name} names the image, but it is missing")
    for path in paths:
        if path not in tags:
            report.add(folder / path, "tags", f"the image is not in {table.name}; it is left out")
    return tags


def _read_sidecars(sidecars: dict[str, Path]) -> tuple[_TagsOfFile, dict[str, TagFileError]]:
    tags: _TagsOfFile = {}
    errors: dict[str, TagFileError] = {}
    for path, sidecar in sidecars.items():
        try:
            tags[path] = read_sidecar(sidecar)
        except TagFileError as error:
            errors[path] = error
    return tags, errors


def _tags_from_sidecars(
    folder: Path,
    paths: Sequence[str],
    sidecars: dict[str, Path],
    tags: _TagsOfFile,
    errors: dict[str, TagFileError],
    report: Report,
) -> _TagsOfFile:
    for path in paths:
        if path in errors:
            report.add(sidecars[path], errors[path].field, f"{errors[path]}; {path} is left out")
        elif path not in tags:
            report.add(folder / path, "tags", "there is no .txt or .json beside the image; it is left out")
    return tags
