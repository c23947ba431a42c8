"""Pydantic's findings as the service's own error."""

from __future__ import annotations

import itertools
from collections.abc import Collection, Iterable

from service.errors import InvalidRequest
from weaksam.findings import Finding, faults_of

MAX_FINDINGS = 20


def invalid_request(findings: Iterable[Finding], known: Collection[str] = ()) -> InvalidRequest:
    """Return one error that names the field and value of each of the first findings.

    Args:
        findings: rows as `ValidationError.errors()` returns them.
        known: the fields that an unknown one may have meant.
    """
    faults = list(itertools.islice(faults_of(findings, known), MAX_FINDINGS))
    rows = [{"field": fault.field, "message": fault.message} for fault in faults if fault.field]
    return InvalidRequest("; ".join(fault.sentence("the body") for fault in faults), errors=rows or None)
