"""Labelled boxes and masks from image-level tags: the client of the service and its data types."""

from weaksam.blocking_client import Client
from weaksam.client import AsyncClient, ClientError, RequestRefused, RetryPolicy, ServerFailed, ServerUnreachable
from weaksam.schemas import (
    BundleInfo,
    Detection,
    DetectResult,
    ImageInfo,
    LabelRow,
    LabelsResponse,
    PngMask,
    PolygonMask,
    RleMask,
    TagRow,
)

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
    "ServerFailed",
    "ServerUnreachable",
    "TagRow",
]
