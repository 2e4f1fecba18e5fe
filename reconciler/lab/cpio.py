"""Files into a cpio archive of the kernel's `newc` kind, the same bytes for the same files.

`guestimage` makes the guest's initramfs with it. Format: kernel documentation, "initramfs buffer format".
"""

import stat
from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Entry:
    """One file, directory or device of an archive; mode includes the file type. device: (major, minor)."""

    name: str
    mode: int
    content: bytes = b""
    device: tuple[int, int] = (0, 0)


def make_directory(name: str) -> Entry:
    """A directory, readable by all."""
    return Entry(name, stat.S_IFDIR | 0o755)


def program(name: str, content: bytes) -> Entry:
    """A file that may be run."""
    return Entry(name, stat.S_IFREG | 0o755, content)


def file(name: str, content: bytes) -> Entry:
    """A plain file."""
    return Entry(name, stat.S_IFREG | 0o644, content)


def character_device(name: str, major: int, minor: int) -> Entry:
    """A character device for root alone."""
    return Entry(name, stat.S_IFCHR | 0o600, device=(major, minor))


def pack(entries: Iterable[Entry]) -> bytes:
    """The archive: entries in their order, owner root, times zero."""
    body = b"".join(_pack_entry(number, entry) for number, entry in enumerate(entries, 1))
    return body + _pack_entry(0, Entry("TRAILER!!!", 0))


def _pack_entry(inode: int, entry: Entry) -> bytes:
    name = entry.name.encode() + b"\0"
    links = 2 if stat.S_ISDIR(entry.mode) else 1
    fields = (inode, entry.mode, 0, 0, links, 0, len(entry.content), 0, 0, *entry.device, len(name), 0)
    header = b"070701" + b"".join(b"%08X" % field for field in fields)
    return _pad(header + name) + _pad(entry.content)


def _pad(part: bytes) -> bytes:
    return part + b"\0" * (-len(part) % 4)
