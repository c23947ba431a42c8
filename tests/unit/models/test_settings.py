"""Settings of a bundle that no image could be answered with are refused when they are read."""

from __future__ import annotations

from typing import Any

import pytest

from models.settings import PostSettings, PromptSettings
from weaksam.errors import UserError


@pytest.mark.parametrize(
    ("name", "value", "remedy"),
    [
        ("proposal_bucket", 0, "take a whole number from 1"),
        ("max_prompts", -5, "take a whole number from 1"),
        ("peak_window_px", 0, "take a whole number from 1"),
        ("map_max_count", -1, "take a whole number from 0"),
        ("duplicate_iou", 7.0, "take a share from 0 to 1"),
        ("cover_max_area_share", float("nan"), "take a share from 0 to 1"),
        ("peak_min_value", float("nan"), "take a number such as 0.5"),
        ("grid_min_iou", float("inf"), "take a number such as 0.5"),
        ("budget_ms", float("nan"), "take milliseconds"),
        ("grid_sides", (8, 0), "take numbers of points"),
        ("mask_levels", (3,), r"take some of \[0, 1, 2\]"),
        ("mask_levels", (), r"take some of \[0, 1, 2\]"),
        ("prompt_buckets", {"onnxruntime": ()}, r"has \[\] for onnxruntime, take sizes of runs"),
        ("prompt_buckets", {"triton": (4, 0)}, r"has \[4, 0\] for triton, take sizes of runs"),
    ],
)
def test_prompt_settings_are_checked(name: str, value: Any, remedy: str) -> None:
    with pytest.raises(UserError, match=f"^{name}: .*{remedy}"):
        PromptSettings(**{name: value})


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("nms_iou", 7.0),
        ("one_tag_iou", -0.1),
        ("nested_share", 1.1),
        ("quality_power", -1.0),
        ("colour_weight", -0.1),
        ("sent_tag_min_score", 2.0),
    ],
)
def test_post_settings_are_checked(name: str, value: Any) -> None:
    with pytest.raises(UserError, match=f"^{name}: is {value}, take a "):
        PostSettings(**{name: value})


def test_a_threshold_may_be_one_that_all_or_no_values_reach() -> None:
    assert PromptSettings(cover_min_iou=2.0, grid_min_iou=-9.0, mask_levels=(1,), grid_sides=()).cover_min_iou == 2.0
