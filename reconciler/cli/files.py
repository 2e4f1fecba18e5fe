"""Files that commands are given, read whole: only regular ones, and none larger than they can be meant."""

import stat
from pathlib import Path

from reconciler.cli.failures import CommandError

LARGEST_BYTES = 2**30


def read_file(path: Path, what: str) -> bytes:
    """The bytes of a file. Ends the command for what is no regular file, is too large, or cannot be read.

    what: what it should be, such as `a plan file`, with how to make one.
    """
    try:
        found = path.stat()
        if not stat.S_ISREG(found.st_mode):
            raise CommandError(f"{path}: this is no file; name {what}")
        if found.st_size > LARGEST_BYTES:
            raise CommandError(f"{path}: larger than {what} can be")
        return path.read_bytes()
    except (OSError, ValueError) as error:
        reason = (error.strerror if isinstance(error, OSError) else str(error)) or "it cannot be read"
        raise CommandError(f"{str(path)!r}: {reason.lower()}; name {what}") from error


def write_file(path: Path, content: bytes) -> None:
    """Writes a file that a person named. Ends the command where that fails, also half-way."""
    try:
        path.write_bytes(content)
    except (OSError, ValueError) as error:
        reason = (error.strerror if isinstance(error, OSError) else str(error)) or "it cannot be written"
        raise CommandError(f"{str(path)!r}: {reason.lower()}; nothing useful was written there") from error
