"""Findings: faults of one object before they know their file and line, which is worked out only for faults.

Checks yield findings; `Declaration.problem` makes problems of them.
"""

from typing import NamedTuple

from reconciler.desired.paths import Path, format_path
from reconciler.desired.read import Document
from reconciler.problems import Problem, Severity


class Finding(NamedTuple):
    """One fault at a field. `at_key`: the key itself is wrong or lacks something, not its value."""

    path: Path
    summary: str
    detail: str
    at_key: bool = False


def place_finding(finding: Finding, identifier: str, document: Document) -> Problem:
    """The problem that a finding is, with the place of its field in the document."""
    where = document.where(finding.path) if finding.at_key else document.where_value(finding.path)
    return Problem(
        summary=finding.summary,
        detail=finding.detail,
        object=identifier,
        field=format_path(finding.path),
        where=where,
        severity=Severity.ERROR,
    )
