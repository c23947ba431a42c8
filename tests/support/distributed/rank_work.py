"""What a test starts on one rank or several: the stages that run networks over pictures, on the tiny bundle.

python -m tests.support.distributed.rank_work BUNDLE DATA OUT        (or by torchrun, --nproc-per-node 2 -m ...)
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np

from training.data.open_together import open_together
from training.evaluation.evaluate import evaluate
from training.proposals.store import store_proposals
from training.pseudo_labels.config import PseudoLabelConfig
from training.pseudo_labels.make import make_pseudo_labels_together
from training.runs.devices import start_fabric
from training.runs.ranks import is_first_rank, rank, rank_count


def main(bundle: Path, data: Path, out: Path) -> None:
    start_fabric("32-true", 0)
    opened = open_together([data], "train")
    stored = store_proposals(bundle, opened.images, out / "proposals")
    report = evaluate(bundle, data, "train", threads=1, results_dir=out / "answers")
    make_pseudo_labels_together(PseudoLabelConfig(masks=True), bundle, opened.images, opened.labels, out / "pgt")
    (out / f"rank-{rank()}-of-{rank_count()}").touch()
    if is_first_rank():
        np.savez(out / "proposals.npz", *(boxes for proposals in stored for boxes in vars(proposals).values()))
        (out / "metrics.json").write_text(json.dumps(report))


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
