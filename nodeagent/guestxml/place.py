"""Where and how one host runs a guest: what the XML needs and a GuestConfig does not say.

Operations build a GuestPlace from the host's paths and connected domains; `writing` uses it.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Literal

from nodeagent.wire.guest import CdromConfig, DiskConfig
from nodeagent.wire.types import UUID_PATTERN

Accelerator = Literal["kvm", "tcg"]

ISO_IMAGE = "11111111-1111-1111-1111-111111111111"
"""The image directory that holds a domain's ISO files, as oVirt names it."""

_UUID = re.compile(UUID_PATTERN)


class GuestXmlError(ValueError):
    """A guest cannot be written as XML, or a document is not a domain; the message says what to change."""


@dataclass(frozen=True, slots=True)
class GuestPlace:
    """directories: of connected storage domains, by uuid. nvram: this guest's UEFI variables (used with UEFI only)."""

    accelerator: Accelerator
    directories: Mapping[str, Path]
    console_log: Path
    firmware_code: Path
    firmware_vars: Path
    nvram: Path | None = None


def _directory(directories: Mapping[str, Path], storage_domain: str) -> Path:
    try:
        return directories[storage_domain]
    except KeyError:
        raise GuestXmlError(f"storage domain {storage_domain} is not connected on this host") from None


def volume_file(directories: Mapping[str, Path], disk: DiskConfig) -> Path:
    """The file of a disk's volume. Raises GuestXmlError if its storage domain is not among `directories`."""
    return _directory(directories, disk.storage_domain) / "images" / disk.image / disk.volume


def iso_file(directories: Mapping[str, Path], cdrom: CdromConfig) -> Path | None:
    """The file in the drive, None if it is empty. Raises GuestXmlError as above."""
    if cdrom.storage_domain is None or cdrom.file is None:
        return None
    return _directory(directories, cdrom.storage_domain) / "images" / ISO_IMAGE / cdrom.file


def parse_volume(path: str) -> tuple[str, str, str] | None:
    """`…/<domain>/images/<image>/<volume>` as (domain, image, volume) uuids; None for any other path."""
    parts = PurePosixPath(path).parts
    if len(parts) < 5 or parts[-3] != "images":
        return None
    domain, image, volume = parts[-4], parts[-2], parts[-1]
    if image == ISO_IMAGE or not all(_UUID.match(part) for part in (domain, image, volume)):
        return None
    return domain, image, volume


def parse_iso(path: str) -> tuple[str, str] | None:
    """`…/<domain>/images/<iso image>/<file>` as (domain uuid, file); None for any other path."""
    parts = PurePosixPath(path).parts
    if len(parts) < 5 or parts[-3] != "images" or parts[-2] != ISO_IMAGE or not _UUID.match(parts[-4]):
        return None
    return parts[-4], parts[-1]
