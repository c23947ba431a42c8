"""What a run would notice hours after its start, looked for before anything is trained."""

from __future__ import annotations

from dataclasses import replace

from training.detector.train import check_detector
from training.pipeline.config import PipelineConfig
from weaksam.errors import UserError


def check_stages(config: PipelineConfig, classes: int) -> None:
    """Look for the files of later stages, and build their networks.

    Raises:
        UserError: a file is missing, or a network cannot be built; the message names the section.
    """
    if config.pgt is not None and config.pgt.categories is not None and not config.pgt.categories.is_file():
        raise UserError(f"pgt.categories: {config.pgt.categories} is no file: give a COCO file, or leave it out")
    for name, section in (("detector", config.detector), ("segmenter", config.segmenter)):
        if section is None:
            continue
        try:
            # With `heads_from_cam` the run's own classifier takes the checkpoint's place.
            check_detector(replace(section, cam_checkpoint=None) if config.heads_from_cam else section, classes)
        except UserError as error:
            raise UserError(f"{name}: {error}") from error
