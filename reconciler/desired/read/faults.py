"""The problems of one file, collected up to a limit."""

from reconciler.desired.read.limits import MAX_PROBLEMS_PER_FILE
from reconciler.problems import Problem, Where


class FileFaults:
    """Collects the problems of one file; past the limit they are only counted."""

    __slots__ = ("_file", "_more", "_problems")

    def __init__(self, file: str) -> None:
        self._file = file
        self._problems: list[Problem] = []
        self._more = 0

    def add(self, line: int, column: int, summary: str, detail: str, field: str = "") -> None:
        """Record a fault at a line and column counted from 1."""
        if len(self._problems) >= MAX_PROBLEMS_PER_FILE:
            self._more += 1
            return
        where = Where(self._file, line, column)
        self._problems.append(Problem(summary=summary, detail=detail, field=field, where=where))

    @property
    def full(self) -> bool:
        """Whether further faults are only counted, so that their wording may be left out."""
        return len(self._problems) >= MAX_PROBLEMS_PER_FILE

    def problems(self) -> tuple[Problem, ...]:
        """The problems in the order found, and a last one that counts those left out."""
        if not self._more:
            return tuple(self._problems)
        last = self._problems[-1].where
        rest = Problem(summary=f"and {self._more} more problems in this file", where=last)
        return (*self._problems, rest)
