"""Faults that a person can mend, as values.

Every stage returns its problems beside its result; the edge sorts and shows them all at once.
Exceptions are kept for bugs and for the outside world.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum


class Severity(StrEnum):
    """How bad a problem is: an error stops planning, a warning travels with the result."""

    ERROR = "error"
    WARNING = "warning"


@dataclass(frozen=True, slots=True, order=True)
class Where:
    """A place in a manifest: file as the user named it, line and column from 1."""

    file: str
    line: int
    column: int

    def __str__(self) -> str:
        return f"{self.file}:{self.line}:{self.column}"


@dataclass(frozen=True, slots=True)
class Problem:
    """One fault: a short summary, a detail that says what to do next, and where it is.

    `object` is an object id such as `vm/web-1` (empty: the file as a whole), `field` a dotted
    path such as `spec.memory`.
    """

    summary: str
    detail: str = ""
    object: str = ""
    field: str = ""
    where: Where | None = None
    severity: Severity = Severity.ERROR

    def __str__(self) -> str:
        place = f"{self.where}: " if self.where else ""
        subject = " ".join(part for part in (self.object, self.field) if part)
        text = (
            f"{place}{self.severity}: {subject}: {self.summary}"
            if subject
            else f"{place}{self.severity}: {self.summary}"
        )
        return f"{text}; {self.detail}" if self.detail else text


def sort_problems(problems: Iterable[Problem]) -> tuple[Problem, ...]:
    """Problems without repeats, errors first, then by file, line, column, object and field."""
    nowhere = Where("", 0, 0)
    return tuple(
        sorted(
            dict.fromkeys(problems),
            key=lambda p: (p.severity, p.where or nowhere, p.object, p.field, p.summary),
        )
    )


def has_errors(problems: Iterable[Problem]) -> bool:
    """Whether any of these stops planning."""
    return any(problem.severity is Severity.ERROR for problem in problems)
