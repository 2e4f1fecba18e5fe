"""The header of a qcow2 image, read by ourselves before any program opens the image.

A header may name other files (a backing file, an external data file) that whoever opens the image would follow.
Its bytes come from storage and are not trusted: `refuse_foreign_files` says no before qemu-img or QEMU sees them.
"""

import os
import stat
import struct
from pathlib import Path

from nodeagent.errors import DriverError

_MAGIC = 0x514649FB  # "QFI\xfb"
_HEADER = struct.Struct(">IIQIIQI")
_FEATURES_AT = 72
_EXTERNAL_DATA_FILE = 1 << 2
_LONGEST_NAME = 1023


class ImageError(DriverError):
    """An image is not what its metadata says, or names files that it must not name."""


def refuse_foreign_files(path: Path, image_format: str, parent: str | None) -> None:
    """Raises ImageError if the image would lead to another file than `parent`, the bare name of its parent volume.

    A raw image names nothing, whatever its bytes are, as long as it is opened as raw. Raises DriverError if the
    file cannot be read, is no regular file, or is a link.
    """
    handle = open_image(path)
    try:
        if image_format == "qcow2":
            _check_header(path, handle, parent)
        elif parent is not None:
            raise ImageError(f"{path} is raw, so it cannot have the parent {parent}")
    finally:
        os.close(handle)


def open_image(path: Path) -> int:
    """A handle of a regular file for reading; never waits. Raises ImageError."""
    try:
        # Looked at first: merely opening a device may have effects.
        regular = stat.S_ISREG(path.lstat().st_mode)
        handle = (
            os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC) if regular else None
        )
    except OSError as error:
        raise ImageError(f"{path} cannot be read: {error.strerror}", "see to the storage domain") from error
    if handle is None or not stat.S_ISREG(os.fstat(handle).st_mode):
        raise ImageError(f"{path} is not a regular file", "see to the storage domain")
    return handle


def _check_header(path: Path, handle: int, parent: str | None) -> None:
    start = os.pread(handle, 104, 0)
    if len(start) < _FEATURES_AT:
        raise ImageError(f"{path} is too short for a qcow2 image")
    magic, version, name_at, name_length, cluster_bits, _, encryption = _HEADER.unpack_from(start)
    if magic != _MAGIC or version not in {2, 3} or not 9 <= cluster_bits <= 21:
        raise ImageError(f"{path} has no valid qcow2 header")
    if encryption != 0:
        raise ImageError(f"{path} is encrypted inside qcow2, which is not supported")
    if version == 3 and len(start) >= _FEATURES_AT + 8:
        (features,) = struct.unpack_from(">Q", start, _FEATURES_AT)
        if features & _EXTERNAL_DATA_FILE:
            raise ImageError(f"{path} keeps its contents in another file, which is not supported")
    _check_backing(path, _backing_name(handle, name_at, name_length), parent)


def _backing_name(handle: int, name_at: int, name_length: int) -> str | None:
    if name_at == 0:
        return None
    name = os.pread(handle, min(name_length, _LONGEST_NAME), min(name_at, 2**62))
    return name.decode(errors="replace")


def _check_backing(path: Path, backing: str | None, parent: str | None) -> None:
    if backing != parent:
        raise ImageError(
            f"{path} is based on {backing!r} by its header, and on {parent or 'nothing'} by its metadata",
            "find out who wrote this image; it is not used as it is",
        )
