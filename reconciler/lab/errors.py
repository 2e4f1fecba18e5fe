"""Why a lab cannot be made or changed, as problems that say what to do."""

from collections.abc import Iterable

from reconciler.problems import Problem


class LabError(Exception):
    """The lab cannot do what was asked; `problems` says why and what to do, at least one."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(str(problem) for problem in self.problems))


class LabRequestError(LabError):
    """What was asked for can be no lab: the command line is wrong, not the machine."""


def fail(summary: str, detail: str = "", subject: str = "") -> LabError:
    """A LabError with one problem."""
    return LabError([Problem(summary, detail, subject)])
