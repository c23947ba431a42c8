"""What `/v1/models` says: the one model, its classes and the parts of the client's window that are shown for it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from weaksam.schemas import BundleInfo

MODEL = "weaksam"
TAGGED_WIDGETS: dict[str, dict[str, str]] = {
    "button_run": {"tooltip": "Find the classes that are picked; without any, the models propose some"},
    "button_classes_filter": {"tooltip": "Pick what is in the image: nothing else comes back"},
    "input_conf": {},
    "edit_conf": {"tooltip": "Minimum score; 0 stands for the calibrated one of each class"},
    "toggle_preserve_existing_annotations": {},
}
CLICK_WIDGETS: dict[str, dict[str, str]] = {
    "button_add_point": {},
    "button_remove_point": {},
    "button_add_rect": {},
    "button_clear": {},
    "button_finish_object": {},
}


def models_document(info: BundleInfo, labels: Sequence[str]) -> dict[str, Any]:
    """Return the models by id. `filter_classes` is empty: no class is picked yet."""
    return {
        MODEL: {
            "display_name": f"WeakSAM {info.name} {info.version}",
            "classes": list(labels),
            "filter_classes": [],
            "batch_processing_mode": "default",
            "widgets": [],
            "available_tasks": [
                _task("masks", "Masks of what is tagged", "default", TAGGED_WIDGETS),
                _task("boxes", "Boxes of what is tagged", "default", TAGGED_WIDGETS),
                # None: nobody has clicked on the other images of the folder.
                _task("click", "Mask of what is clicked", None, CLICK_WIDGETS),
            ],
        }
    }


def _task(id_: str, name: str, batch_mode: str | None, widgets: dict[str, dict[str, str]]) -> dict[str, Any]:
    return {"id": id_, "name": name, "batch_processing_mode": batch_mode, "active_widgets": widgets}
