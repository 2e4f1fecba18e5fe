"""Disk images through qemu-img: made, grown, looked at, measured and checked, as root but within limits.

Operations on disks call it. The format is always given, never guessed from contents that a guest may have
written, and a header that names other files is refused before qemu-img opens it. Image locking stays on.
"""

import fcntl
import os
import struct
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from nodeagent.drivers.command import Limits, never, run_command
from nodeagent.drivers.qcow2header import ImageError, open_image, refuse_foreign_files
from nodeagent.wire.codec import ContractError, decode

__all__ = [
    "ImageCheck",
    "ImageError",
    "ImageInfo",
    "check_image",
    "create_image",
    "is_open_elsewhere",
    "measure_image",
    "read_image_info",
    "resize_image",
]

ImageFormat = Literal["raw", "qcow2"]
LOOK_TIMEOUT_MS = 30_000
_MEMORY_BYTES = 2 * 1024**3
_LOCK_BYTES_AT = (
    100  # QEMU locks single bytes from 100 (permissions) and from 200 (what it refuses to others)
)
_LOCK_BYTES = 200
_FLOCK = "hhqqi4x"


@dataclass(frozen=True, slots=True)
class ImageInfo:
    """Sizes in bytes: what the guest sees, and what the file system holds."""

    virtual_bytes: int
    actual_bytes: int


@dataclass(frozen=True, slots=True)
class ImageCheck:
    """What qemu-img check found. end_bytes: where the used part of a qcow2 image ends."""

    end_bytes: int
    corruptions: int
    leaks: int


def create_image(
    path: Path,
    image_format: ImageFormat,
    capacity_bytes: int,
    preallocated: bool,
    limit_ms: int,
    cancelled: Callable[[], bool] = never,
) -> None:
    """Make a new image at `path`, which must not be taken. Raises DriverError; the half-made file then stays."""
    if path.is_symlink() or path.exists():
        raise ImageError(f"{path} is there already")
    options = [f"preallocation={'falloc' if preallocated else 'off'}"]
    if image_format == "qcow2":
        options.append("compat=1.1")
    arguments = ["create", "-q", "-f", image_format, "-o", ",".join(options), str(path), str(capacity_bytes)]
    _run(arguments, limit_ms, cancelled)


def read_image_info(path: Path, image_format: ImageFormat, parent: str | None = None) -> ImageInfo:
    """Sizes of an image that a guest may be using. Raises ImageError for a header that names other files."""
    refuse_foreign_files(path, image_format, parent)
    found = _look(["info", "--output=json", "-U", "-f", image_format, str(path)])
    return ImageInfo(_number(found, "virtual-size"), _number(found, "actual-size"))


def resize_image(
    path: Path,
    image_format: ImageFormat,
    capacity_bytes: int,
    limit_ms: int,
    parent: str | None = None,
    preallocated: bool = False,
    cancelled: Callable[[], bool] = never,
) -> None:
    """Grow an image that nobody has open. Raises ImageError rather than shrink it, DriverError if that fails."""
    info = read_image_info(path, image_format, parent)
    if capacity_bytes < info.virtual_bytes:
        raise ImageError(
            f"{path} has {info.virtual_bytes} bytes and would shrink to {capacity_bytes}",
            "disks never shrink",
        )
    if capacity_bytes > info.virtual_bytes:
        allocation = f"--preallocation={'falloc' if preallocated else 'off'}"
        arguments = ["resize", "-q", allocation, "-f", image_format, str(path), str(capacity_bytes)]
        _run(arguments, limit_ms, cancelled)


def measure_image(
    path: Path, image_format: ImageFormat, target: ImageFormat, parent: str | None = None
) -> int:
    """Bytes that the image's contents need as `target`. Raises DriverError."""
    refuse_foreign_files(path, image_format, parent)
    found = _look(["measure", "--output=json", "-U", "-f", image_format, "-O", target, str(path)])
    return _number(found, "required")


def check_image(path: Path, parent: str | None = None) -> ImageCheck:
    """The state of a qcow2 image. Raises DriverError; damage is not an error but its result."""
    refuse_foreign_files(path, "qcow2", parent)
    # 2 and 3 report corruption and leaks, with the same output.
    found = _look(["check", "--output=json", "-U", "-f", "qcow2", str(path)], frozenset({0, 2, 3}))
    return ImageCheck(
        end_bytes=_number(found, "image-end-offset", 0),
        corruptions=_number(found, "corruptions", 0) + _number(found, "check-errors", 0),
        leaks=_number(found, "leaks", 0),
    )


def is_open_elsewhere(path: Path) -> bool:
    """Whether some QEMU or qemu-img has the image open, on this host or another whose locks we see.

    Asks for the locks that QEMU keeps on an image while it uses it, without taking them. Raises ImageError.
    """
    handle = open_image(path)
    try:
        wanted = struct.pack(_FLOCK, fcntl.F_WRLCK, os.SEEK_SET, _LOCK_BYTES_AT, _LOCK_BYTES, 0)
        answer = fcntl.fcntl(handle, fcntl.F_OFD_GETLK, wanted)
    except OSError as error:
        raise ImageError(f"locks of {path} cannot be read: {error.strerror}", "see to the storage") from error
    finally:
        os.close(handle)
    return bool(struct.unpack(_FLOCK, answer)[0] != fcntl.F_UNLCK)


def _run(arguments: list[str], limit_ms: int, cancelled: Callable[[], bool]) -> None:
    run_command(["qemu-img", *arguments], Limits(limit_ms, _MEMORY_BYTES), cancelled=cancelled)


def _look(arguments: list[str], successes: frozenset[int] = frozenset({0})) -> dict[str, Any]:
    output = run_command(
        ["qemu-img", *arguments], Limits(LOOK_TIMEOUT_MS, _MEMORY_BYTES), successes=successes
    )
    try:
        return decode(output, dict[str, Any])
    except ContractError as error:
        raise ImageError(f"qemu-img {arguments[0]} said something unexpected: {error}") from error


def _number(found: dict[str, Any], key: str, default: int | None = None) -> int:
    value = found.get(key, default)
    if not isinstance(value, int) or value < 0:
        raise ImageError(f"qemu-img did not say `{key}`")
    return value
