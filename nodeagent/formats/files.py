"""Files below a storage domain, reached by directory handles so that no symbolic link leads out of it.

What is written here is either wholly there or not at all, whenever the host loses power. The formats beside
this module decide names and contents; operations use it for the directories they make.
"""

import os
import secrets
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

OWNER_UID = 36
OWNER_GID = 36
FILE_MODE = 0o660
DIRECTORY_MODE = 0o755
PASSABLE_MODE = 0o711
"""Of a directory above what QEMU opens: it is a user of its own, must get through, and need not list it."""
RECORD_LIMIT_BYTES = 256 * 1024
LEFTOVER_PREFIX = ".ostler-new-"
_LEFTOVER_AGE_S = 3600
_DIRECTORY_FLAGS = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC


class UnsafeFileError(OSError):
    """A file is not what its place demands: not a regular file, too large, or reached through a link."""


@contextmanager
def open_directory(place: Path, *parts: str) -> Iterator[int]:
    """A handle of the directory `parts` below `place`, closed at the end of the block. Raises OSError.

    No part may be a symbolic link. Opening it anew also makes network file systems look at its entries afresh.
    """
    handle = os.open(place, _DIRECTORY_FLAGS)
    try:
        for part in parts:
            outer, handle = handle, _open_inner(handle, part)
            os.close(outer)
        yield handle
    finally:
        os.close(handle)


def _open_inner(outer: int, name: str) -> int:
    if name in {"", ".", ".."} or "/" in name:
        raise UnsafeFileError(f"`{name}` is not the name of a directory entry")
    return os.open(name, _DIRECTORY_FLAGS | os.O_NOFOLLOW, dir_fd=outer)


@contextmanager
def open_inner(outer: int, name: str) -> Iterator[int]:
    """A handle of one directory inside another, closed at the end of the block. Raises OSError."""
    handle = _open_inner(outer, name)
    try:
        yield handle
    finally:
        os.close(handle)


def list_names(directory: int) -> set[str]:
    """The names in a directory. Raises OSError."""
    with os.scandir(directory) as entries:
        return {entry.name for entry in entries}


def read_file(directory: int, name: str, limit: int = RECORD_LIMIT_BYTES) -> bytes:
    """The content of a regular file of at most `limit` bytes; never waits. Raises OSError."""
    if not stat.S_ISREG(os.stat(name, dir_fd=directory, follow_symlinks=False).st_mode):
        raise UnsafeFileError(f"{name} is not a regular file")
    flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
    handle = os.open(name, flags, dir_fd=directory)
    try:
        if not stat.S_ISREG(os.fstat(handle).st_mode):
            raise UnsafeFileError(f"{name} is not a regular file")
        content = _read_at_most(handle, limit + 1)
    finally:
        os.close(handle)
    if len(content) > limit:
        raise UnsafeFileError(f"{name} is larger than {limit} bytes")
    return content


def _read_at_most(handle: int, limit: int) -> bytes:
    parts = []
    while limit > 0 and (part := os.read(handle, min(limit, 1 << 20))):
        parts.append(part)
        limit -= len(part)
    return b"".join(parts)


def write_new(directory: int, content: bytes, mode: int = FILE_MODE) -> str:
    """A durable new file with a name of its own, to be linked or renamed to its real one. Raises OSError."""
    name = f"{LEFTOVER_PREFIX}{os.getpid()}-{secrets.token_hex(8)}"
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    handle = os.open(name, flags, mode, dir_fd=directory)
    try:
        _fill(handle, content, mode)
    except OSError:
        remove_quietly(directory, name)
        raise
    finally:
        os.close(handle)
    return name


def _fill(handle: int, content: bytes, mode: int) -> None:
    os.fchmod(handle, mode)
    give_to_owner(handle)
    rest = memoryview(content)
    while rest:
        rest = rest[os.write(handle, rest) :]
    os.fsync(handle)


def give_to_owner(handle: int) -> None:
    """Make the file or directory belong to the storage user (uid 36, gid 36), where we may. Raises OSError."""
    if os.geteuid() != 0:
        return
    try:
        os.fchown(handle, OWNER_UID, OWNER_GID)
    except PermissionError:
        # A server that maps root to the storage user has already made it so.
        if os.fstat(handle).st_uid != OWNER_UID:
            raise


def link_new(directory: int, existing: str, name: str) -> bool:
    """Give a file a second name, exclusively: False if that name was taken. Raises OSError."""
    try:
        os.link(existing, name, src_dir_fd=directory, dst_dir_fd=directory, follow_symlinks=False)
    except FileExistsError:
        # A network file system may have done it and lost the answer, and then say so to the repeat.
        return os.stat(existing, dir_fd=directory, follow_symlinks=False).st_nlink > 1
    return True


def replace_file(directory: int, name: str, content: bytes, mode: int = FILE_MODE) -> None:
    """Make `name` hold `content`, durably and at once. Raises OSError, and then the old content is still there."""
    new = write_new(directory, content, mode)
    try:
        os.rename(new, name, src_dir_fd=directory, dst_dir_fd=directory)
    except OSError:
        remove_quietly(directory, new)
        raise
    os.fsync(directory)


def make_directory(parent: int, name: str, mode: int = DIRECTORY_MODE) -> None:
    """Make a directory durably, with the storage user as its owner; one that is there stays. Raises OSError."""
    with suppress(FileExistsError):
        os.mkdir(name, mode, dir_fd=parent)
    with open_inner(parent, name) as handle:
        if stat.S_IMODE(os.fstat(handle).st_mode) != mode:
            os.fchmod(handle, mode)
        give_to_owner(handle)
    os.fsync(parent)


def ensure_directory(parent: int, name: str) -> None:
    """Make a directory durably unless something has its name. Raises OSError."""
    try:
        os.stat(name, dir_fd=parent, follow_symlinks=False)
    except FileNotFoundError:
        make_directory(parent, name)


def ensure_file(directory: int, name: str, size: int = 0) -> None:
    """Make a file of at least `size` bytes, with the storage user as its owner; one that is there stays.

    Its name is durable once the caller has synchronised the directory. Raises OSError.
    """
    flags = os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
    handle = os.open(name, flags, FILE_MODE, dir_fd=directory)
    try:
        os.fchmod(handle, FILE_MODE)
        give_to_owner(handle)
        if os.fstat(handle).st_size < size:
            os.ftruncate(handle, size)
            os.fsync(handle)
    finally:
        os.close(handle)


def remove_quietly(directory: int, name: str) -> None:
    """Remove a file that nothing depends on; a failure only leaves it there."""
    with suppress(OSError):
        os.unlink(name, dir_fd=directory)


def remove_leftovers(directory: int, names: tuple[str, ...], newer: str) -> None:
    """Remove new files of writers that died an hour or more before `newer` was written, by the server's clock."""
    with suppress(OSError):
        limit = os.stat(newer, dir_fd=directory, follow_symlinks=False).st_mtime - _LEFTOVER_AGE_S
        for name in names:
            with suppress(OSError):
                if os.stat(name, dir_fd=directory, follow_symlinks=False).st_mtime < limit:
                    os.unlink(name, dir_fd=directory)
