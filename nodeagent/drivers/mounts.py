"""Mounts of storage domains, and whether a mounted domain still answers; all through child processes.

A file system whose server is gone can hold a process in the kernel for ever. So whatever may touch one here runs
in a child with a time limit, and the agent's own threads go on. The registry of storage domains calls it.
"""

import re
from dataclasses import dataclass
from pathlib import Path

from nodeagent.drivers.command import CommandFailedError, Limits, run_command
from nodeagent.errors import DriverError

MOUNTINFO = Path("/proc/self/mountinfo")
LOOK_LIMIT_MS = 10_000
MOUNT_LIMIT_MS = 120_000
UNMOUNT_LIMIT_MS = 60_000
_ESCAPE = re.compile(r"\\([0-7]{3})")
_FOREIGN_HELPERS = ("helper=", "uhelper=")


class MountError(DriverError):
    """A file system cannot be mounted, unmounted or asked; `action` says what to do."""


@dataclass(frozen=True, slots=True)
class Space:
    """Bytes of a file system: all, and those that are free for us."""

    total_bytes: int
    free_bytes: int


def is_mounted(target: Path) -> bool:
    """Whether something is mounted exactly at `target`, an absolute path without links. Asks the kernel only."""
    wanted = str(target)
    try:
        lines = MOUNTINFO.read_text(errors="surrogateescape").splitlines()
    except OSError as error:
        raise MountError(f"cannot read {MOUNTINFO}: {error.strerror}", "mount /proc") from error
    return any(_unescape(line.split(" ")[4]) == wanted for line in lines)


def _unescape(path: str) -> str:
    return _ESCAPE.sub(lambda match: chr(int(match[1], 8)), path)


def objection_to_mount(source: str, vfs_type: str | None, options: str) -> str | None:
    """Why a file system of this source and type is not mounted with these options, or None."""
    if source.startswith("-") or not source.isprintable():
        return "the path looks like an option, or holds control characters"
    bound = vfs_type == "none" or bool({"bind", "rbind"} & set(options.split(",")))
    if bound and not source.startswith("/"):
        return f"a bind mount needs an absolute path, and `{source}` is none"
    if vfs_type is None:
        return "a posixfs domain needs the type of its file system (vfsType)"
    if vfs_type.startswith("fuse"):
        return (
            f"type `{vfs_type}` lets its source name a program to run; use the file system's own mount helper"
        )
    if any(not character.isprintable() for character in options):
        return "the mount options hold control characters"
    if any(option.strip().startswith(_FOREIGN_HELPERS) for option in options.split(",")):
        return "the mount options name a program to run"
    return None


def mount_file_system(source: str, target: Path, vfs_type: str, options: str, limit_ms: int) -> None:
    """Mount `source` at the directory `target`. Raises MountError or CommandTimeoutError."""
    arguments = ["mount", "-t", vfs_type]
    if options:
        arguments += ["-o", options]
    try:
        run_command([*arguments, "--", source, str(target)], Limits(limit_ms))
    except CommandFailedError as error:
        raise MountError(
            f"{source} cannot be mounted: {error.summary}",
            "check path, type and options of the storage domain",
        ) from error


def unmount_file_system(target: Path, limit_ms: int) -> None:
    """Unmount what is mounted at `target`; never by force. Raises MountError or CommandTimeoutError."""
    try:
        run_command(["umount", "--", str(target)], Limits(limit_ms))
    except CommandFailedError as error:
        raise MountError(
            f"{target} cannot be unmounted: {error.summary}", "end what still uses the storage domain"
        ) from error


def is_same_directory(first: Path, second: Path) -> bool:
    """Whether two paths lead to one directory, as after a bind mount. Raises DriverError."""
    output = run_command(["stat", "-L", "-c", "%d:%i", "--", str(first), str(second)], Limits(LOOK_LIMIT_MS))
    return len(set(output.split())) == 1


def read_space(directory: Path, limit_ms: int = LOOK_LIMIT_MS) -> Space:
    """Size and free space of the file system that holds `directory`. Raises DriverError."""
    output = run_command(["stat", "-f", "-c", "%S %b %a", "--", str(directory)], Limits(limit_ms))
    block, blocks, free = (int(word) for word in output.split())
    return Space(block * blocks, block * free)


def read_directly(path: Path, limit_bytes: int, limit_ms: int = LOOK_LIMIT_MS) -> bytes:
    """A file's content from its storage, past the host's cache where the file system can. Raises DriverError."""
    count = -(-limit_bytes // 4096)
    arguments = ["dd", f"if={path}", "bs=4096", f"count={count}", "status=none"]
    try:
        return run_command([*arguments, "iflag=direct,nofollow"], Limits(limit_ms))
    except CommandFailedError:
        # Not every file system reads past the cache (tmpfs does not); one that fails fails here again.
        return run_command([*arguments, "iflag=nofollow"], Limits(limit_ms))
