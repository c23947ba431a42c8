"""What the weak detector gains from images that people confirmed, on a COCO data set whose boxes are all known.

python -m tests.bench.labelling.confirmed_images write data/tools some 40
weaksam train training/configs/tools.toml --out runs/some --set 'data.folders=["some"]' --set data.test=none
python -m tests.bench.labelling.confirmed_images measure data/tools some runs/some/pgt-*
"""

from __future__ import annotations

import json
import random
import sys
from pathlib import Path
from typing import Any

from models.labels import Label, LabelSet
from training.data.formats.coco import read_coco
from training.pseudo_labels.dataset import PseudoLabelledImage, PseudoObject
from training.pseudo_labels.quality import report_quality

ANNOTATIONS = "annotations/instances_train.json"


def write(source: Path, reviewed: Path, count: int) -> None:
    """Write ``train`` of ``source`` as `weaksam review` would, with ``count`` images confirmed, drawn at random."""
    document: dict[str, Any] = json.loads((source / ANNOTATIONS).read_text(encoding="utf-8"))
    images, objects = document["images"], document["annotations"]
    names = {row["id"]: row["name"] for row in document["categories"]}
    order = list(range(len(images)))
    random.Random(0).shuffle(order)
    confirmed = {images[place]["id"] for place in order[:count]}
    for image in images:
        image["confirmed"] = image["id"] in confirmed
        image["tags"] = sorted({names[thing["category_id"]] for thing in objects if thing["image_id"] == image["id"]})
    document["annotations"] = [thing for thing in objects if thing["image_id"] in confirmed]
    (reviewed / ANNOTATIONS).parent.mkdir(parents=True)
    (reviewed / ANNOTATIONS).write_text(json.dumps(document), encoding="utf-8")
    (reviewed / "images").symlink_to((source / "images").resolve())


def measure(source: Path, reviewed: Path, pseudo: Path) -> dict[str, Any]:
    """Return how well pseudo ground truth agrees with the true boxes, on images that nobody confirmed."""
    dataset = read_coco(source, "train")
    labels = LabelSet(tuple(Label(name) for name in dataset.labels))
    confirmed = {image.id for image in read_coco(reviewed, "train").images if image.confirmed}
    labelled = {image.path.resolve(): image for image in read_coco(pseudo, "train").images}
    rows = []
    for image in dataset.images:
        found = labelled.get(image.path.resolve())
        if found is not None and image.id not in confirmed:
            indices = [(labels.index(thing.label), thing) for thing in found.objects]
            things = tuple(PseudoObject(index, thing.box_xyxy, 1.0) for index, thing in indices if index is not None)
            rows.append(PseudoLabelledImage(image, things))
    return report_quality(rows, labels)


if __name__ == "__main__":
    command, source, reviewed, last = sys.argv[1:]
    if command == "write":
        write(Path(source), Path(reviewed), int(last))
    else:
        print(json.dumps(measure(Path(source), Path(reviewed), Path(last)), indent=1))
