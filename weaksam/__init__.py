"""Labelled boxes and masks from image-level tags: the client of the service and its data types."""

from weaksam.blocking_client import Client
from weaksam.client import AsyncClient, ClientError, RequestRefused, ServerFailed, ServerUnreachable
from weaksam.mask_schemas import PngMask, PolygonMask, RleMask
from weaksam.retry import RetryPolicy
from weaksam.schemas import BundleInfo, Detection, DetectResult, ImageInfo, LabelRow, LabelsResponse, TagRow
from weaksam.segment_schemas import SegmentMask, SegmentResult

__all__ = [
    "AsyncClient",
    "BundleInfo",
    "Client",
    "ClientError",
    "DetectResult",
    "Detection",
    "ImageInfo",
    "LabelRow",
    "LabelsResponse",
    "PngMask",
    "PolygonMask",
    "RequestRefused",
    "RetryPolicy",
    "RleMask",
    "SegmentMask",
    "SegmentResult",
    "ServerFailed",
    "ServerUnreachable",
    "TagRow",
]
