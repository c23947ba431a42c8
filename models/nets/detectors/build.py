"""Settings to the network of a detector."""

from __future__ import annotations

from models.nets.detectors.detector import Detector
from models.nets.detectors.rcnn import build_rcnn
from models.nets.detectors.settings import DetectorSettings


def build_detector(settings: DetectorSettings, classes: int, weights: str = "none") -> Detector:
    """Build the network with fresh heads, on a backbone with ``weights`` as `create_backbone` takes them."""
    if settings.architecture == "dfine":
        from models.nets.detectors.dfine import build_dfine  # noqa: PLC0415 - `transformers` takes seconds to import

        return build_dfine(settings.net, settings.dfine, classes, weights)
    if settings.architecture == "mask2former":
        from models.nets.detectors.mask2former import build_mask2former  # noqa: PLC0415 - as above

        return build_mask2former(settings.net, settings.mask2former, classes, weights)
    assert settings.rcnn is not None, "the settings have checked it"
    return build_rcnn(settings.net, settings.rcnn, classes, weights)
