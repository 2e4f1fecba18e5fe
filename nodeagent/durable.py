"""Small files replaced as a whole: new file, fsync, rename, fsync of the directory.

Used for what the agent must know after a power cut: settings, certificates.
"""

import os
import tempfile
from pathlib import Path

from nodeagent.errors import DriverError


def replace_file(path: Path, content: bytes, mode: int = 0o600) -> None:
    """Make `path` hold `content`, durably and at once; readers see the old or the new one. Raises DriverError."""
    temporary: Path | None = None
    try:
        descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        temporary = Path(name)
        with os.fdopen(descriptor, "wb") as file:
            os.fchmod(file.fileno(), mode)
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
        sync_directory(path.parent)
    except OSError as error:
        if temporary is not None:
            temporary.unlink(missing_ok=True)
        raise DriverError(
            f"cannot write {path}: {error.strerror}", "free space or mend the file system that holds it"
        ) from error


def sync_directory(path: Path) -> None:
    """Make a rename or creation in directory `path` durable. Raises OSError."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
