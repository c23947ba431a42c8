"""From the stored result of a labelling run to each format."""

from __future__ import annotations

import shutil
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Literal, get_args

from weaksam.errors import UserError
from weaksam.files.atomic import write_json
from weaksam.formats.coco_export import write_coco, write_coco_polygons, write_coco_results
from weaksam.formats.cvat import write_cvat
from weaksam.formats.label_studio import write_label_studio
from weaksam.formats.labelled import SUMMARY, LabelledSet, PolygonMaker, read_final
from weaksam.formats.labelme import write_labelme
from weaksam.formats.png import write_png
from weaksam.formats.provenance import write_sidecar
from weaksam.formats.roboflow import write_roboflow
from weaksam.formats.voc_export import write_voc
from weaksam.formats.yolo import write_yolo, write_yolo_segments
from weaksam.mask_schemas import MIN_FIDELITY

FormatName = Literal[
    "coco",
    "coco-polygons",
    "coco-results",
    "yolo",
    "yolo-seg",
    "voc",
    "labelme",
    "cvat",
    "labelstudio",
    "roboflow",
    "png",
]
# Formats that have no place for where labels come from.
WITHOUT_PLACE: tuple[FormatName, ...] = ("coco-results", "yolo", "yolo-seg", "png")


def parse_format(text: str) -> FormatName:
    """Return the format of that name; raise UserError if there is none."""
    names: tuple[FormatName, ...] = get_args(FormatName)
    if text not in names:
        raise UserError(f"format is {text!r}: give one of {', '.join(names)}")
    return text


def convert(
    folder: Path,
    to: FormatName,
    out: Path,
    min_fidelity: float = MIN_FIDELITY,
    image_url: str = "",
    reviewed: Path | None = None,
) -> dict[str, Any]:
    """Write a labelling run or a review in another format, with `conversion.json`, and return what that file says.

    Args:
        folder: what `weaksam label` or `weaksam review` wrote.
        out: a new or empty folder.
        min_fidelity: smallest IoU of an object's polygons with its mask, for the formats that have polygons.
        image_url: see `write_label_studio`.
        reviewed: a review of the run, see `read_final`.

    Raises:
        UserError: the folder holds no labelling run, `out` holds something, or the run does not fit the format.
    """
    labelled = read_final(folder, reviewed)
    if out.exists() and any(out.iterdir()):
        raise UserError(f"{out} is not empty: name a new folder")
    out.mkdir(parents=True, exist_ok=True)
    polygons = PolygonMaker(min_fidelity)
    try:
        _write(labelled, to, out, polygons, image_url)
        if to in WITHOUT_PLACE:
            write_sidecar(labelled, out)
        summary = _summary(labelled, to, polygons)
        write_json(out / SUMMARY, summary)
    except BaseException:
        _empty(out)  # or the same command would be refused after the remedy
        raise
    return summary


def convert_inside(folder: Path, to: FormatName, min_fidelity: float = MIN_FIDELITY) -> dict[str, Any]:
    """Write a labelling run in another format into the folder of that name inside it, in place of an earlier one.

    Raises:
        UserError: as `convert`, or that folder holds something else.
    """
    out = folder / to
    if out.exists() and not (out / SUMMARY).is_file():
        raise UserError(f"{out} was not written by weaksam: move it away, or give another --out")
    for left_by_a_kill in folder.glob(f".{to}.*"):
        shutil.rmtree(left_by_a_kill)
    with TemporaryDirectory(dir=folder, prefix=f".{to}.") as draft:
        summary = convert(folder, to, Path(draft) / to, min_fidelity)
        # Moved away as a whole: a kill while it was removed would leave a folder that is nobody's.
        if out.exists():
            out.rename(Path(draft) / "before")
        (Path(draft) / to).rename(out)
    return summary


def _empty(folder: Path) -> None:
    for path in folder.iterdir():
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink()


def _write(labelled: LabelledSet, to: FormatName, out: Path, polygons: PolygonMaker, image_url: str) -> None:
    plain = {
        "coco": write_coco,
        "coco-results": write_coco_results,
        "yolo": write_yolo,
        "voc": write_voc,
        "cvat": write_cvat,
        "roboflow": write_roboflow,
        "png": write_png,
    }
    outlined = {"coco-polygons": write_coco_polygons, "yolo-seg": write_yolo_segments, "labelme": write_labelme}
    if to in plain:
        plain[to](labelled, out)
    elif to in outlined:
        outlined[to](labelled, out, polygons)
    else:
        write_label_studio(labelled, out, image_url)


def _summary(labelled: LabelledSet, to: FormatName, polygons: PolygonMaker) -> dict[str, Any]:
    summary = {
        "format": to,
        "images": len(labelled.images),
        "objects": sum(len(image.objects) for image in labelled.images),
        "info": labelled.info,
    }
    fidelities = polygons.fidelities_iou
    if fidelities:
        summary["fidelity_iou"] = {"lowest": min(fidelities), "mean": sum(fidelities) / len(fidelities)}
    return summary
