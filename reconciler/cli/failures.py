"""Faults that end a command, as sentences: who must act, and what to do."""

import sys
from types import TracebackType

from reconciler.cli.statuses import Status


class CommandError(Exception):
    """A command cannot go on; its text is shown as it is."""

    def __init__(self, text: str, status: Status = Status.ERROR) -> None:
        super().__init__(text)
        self.status = status


def report_bug(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    """Tells of an error that nobody expected; its traceback goes into a file to report. An `excepthook`."""
    import tempfile
    import traceback

    lines = traceback.format_exception(kind, error, trace)
    with tempfile.NamedTemporaryFile("w", prefix="ostler-fault-", suffix=".txt", delete=False) as file:
        file.writelines(lines)
    what = f"this is a fault of ostler, not of what you gave it ({lines[-1].strip()})"
    print(f"error: {what}; please report it with {file.name}", file=sys.stderr)


def describe_failure(error: Exception) -> str | None:
    """An expected fault of the outside world as text; None for what must be a bug."""
    from reconciler.pki.errors import PkiError

    if isinstance(error, PkiError):
        return f"error: {error}"
    database = sys.modules.get("reconciler.store.database")
    if database is not None and isinstance(error, database.StoreError):
        return f"error: {error}"
    lab = sys.modules.get("reconciler.lab.errors")
    if lab is not None and isinstance(error, lab.LabError):
        return "\n".join(str(problem) for problem in error.problems)
    if isinstance(error, PermissionError):
        return f"error: {error.filename}: permission denied; run as a user who may read and write it, or set OSTLER_HOME"
    if isinstance(error, OSError) and error.strerror:
        return f"error: {error.filename or 'reading or writing failed'}: {error.strerror}"
    return None
