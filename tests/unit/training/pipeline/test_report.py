from __future__ import annotations

import io
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from training.data.tagged import TaggedImage, TrueObject
from training.pipeline.losses import MAX_CHECKED_IMAGES, checked_images
from training.pipeline.report_images import image_score
from training.pipeline.report_plots import dropped_by_step, loss_against_error, loss_curves, read_log

BOLT, NUT = (10.0, 10.0, 20.0, 20.0), (30.0, 30.0, 50.0, 50.0)
FAR = (60.0, 60.0, 70.0, 70.0)


def answer(*rows: tuple[str, float, tuple[float, ...]]) -> dict[str, list[dict[str, object]]]:
    return {
        "detections": [
            {"label": label, "score": score, "box_xyxy": box, "shown": score >= 0.5} for label, score, box in rows
        ]
    }


@pytest.mark.parametrize(
    ("rows", "score"),
    [
        pytest.param([("Bolt", 0.9, BOLT), ("Nut", 0.9, NUT)], 1.0, id="all"),
        pytest.param([("Bolt", 0.9, BOLT)], 2 / 3, id="one-missed"),
        pytest.param([("Bolt", 0.9, BOLT), ("Nut", 0.9, NUT), ("Nut", 0.8, FAR)], 0.8, id="one-too-many"),
        pytest.param([("Nut", 0.9, BOLT), ("Bolt", 0.9, NUT)], 0.0, id="labels-exchanged"),
        pytest.param([("Bolt", 0.9, BOLT), ("Nut", 0.2, NUT)], 2 / 3, id="not-shown"),
        pytest.param([("Bolt", 0.9, BOLT), ("Bolt", 0.8, BOLT), ("Nut", 0.9, NUT)], 0.8, id="found-twice"),
        pytest.param([], 0.0, id="nothing"),
    ],
)
def test_pictures_are_ranked_by_f1(rows: list[tuple[str, float, tuple[float, ...]]], score: float) -> None:
    image = TaggedImage(
        "a", Path("a.png"), (80, 80), ("Bolt", "Nut"), (TrueObject("Bolt", BOLT), TrueObject("Nut", NUT))
    )
    assert image_score(image, answer(*rows)) == pytest.approx(score)


def test_checked_images_are_spread_evenly_and_hold_the_chosen_ones() -> None:
    images = [TaggedImage(str(row), Path("a.png"), (80, 80), ("Bolt",)) for row in range(3 * MAX_CHECKED_IMAGES)]
    checked = checked_images(images, ["1"])
    assert len(checked) == MAX_CHECKED_IMAGES + 1
    assert [image.id for image in checked][:2] == ["0", "1"]
    assert checked[-1].id == images[-1].id
    assert checked_images(images[:5], []) == images[:5]


def test_the_rows_of_a_resumed_run_count_once(tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    path.write_text("".join(json.dumps({"step": s, "loss_a": v}) + "\n" for s, v in ((0, 3.0), (1, 2.0), (0, 9.0))))
    assert [(row["step"], row["loss_a"]) for row in read_log(path)] == [(0, 9.0), (1, 2.0)]
    assert read_log(tmp_path / "none.jsonl") == []


def test_diagrams_are_pictures_that_show_their_rows() -> None:
    def row(step: int, wrong: int) -> dict[str, object]:
        counts = {"rois_by_loss": [8, 2], "judged_by_loss": [8, 0], "wrong_by_loss": [wrong, 0]}
        drop = {"dropped": step, "judged_dropped": 2, "wrong_dropped": 1, "judged_kept": 8, "wrong_kept": wrong}
        return {"step": step, "loss_class": 1.0 / (step + 1), **counts, **drop}

    for draw in (loss_curves, loss_against_error, dropped_by_step):
        few, many = ([row(step, wrong) for step in range(4)] for wrong in (1, 7))
        png = draw(few)
        with Image.open(io.BytesIO(png)) as picture:
            assert picture.size == (704, 374)
            assert np.asarray(picture.convert("L")).std() > 10
        if draw is not loss_curves:
            assert png != draw(many)
