"""What VMs keep besides their disks: a file of UEFI variables each on storage, a directory of TPM state each on a host.

What is left of a removed VM has REMOVED_PREFIX before its name, as the image of a removed disk has. Facts list it,
`operations.vm_state` renames and deletes it.
"""

import os
import re
import shutil
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from nodeagent.formats.domainlayout import REMOVED_PREFIX
from nodeagent.formats.files import list_names, open_directory
from nodeagent.wire.types import UUID_PATTERN

_UUID = re.compile(UUID_PATTERN)


@dataclass(frozen=True, slots=True)
class Shelf:
    """A directory below `place` with one entry for each VM, named after its uuid; suffix: what follows the uuid."""

    place: Path
    parts: tuple[str, ...] = ()
    suffix: str = ""

    def name(self, vm: str) -> str:
        """The entry of a VM while it is in use."""
        return f"{vm}{self.suffix}"

    def aside(self, vm: str) -> str:
        """The entry of a VM once it is set aside."""
        return f"{REMOVED_PREFIX}{vm}{self.suffix}"


def firmware_shelf(place: Path) -> Shelf:
    """The UEFI variables on a storage domain."""
    return Shelf(place, ("master", "firmware"), ".fd")


def tpm_shelf(directory: Path) -> Shelf:
    """The TPM state on a host, below the directory where libvirt keeps it."""
    return Shelf(directory)


def list_shelf(shelf: Shelf) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Uuids of the VMs that keep something there, and of those of which it is set aside, each sorted; nothing where
    there is no such directory. Raises OSError.
    """
    names: set[str] = set()
    with suppress(FileNotFoundError), open_directory(shelf.place, *shelf.parts) as directory:
        names = list_names(directory)
    found = sorted(name.removesuffix(shelf.suffix) for name in names if name.endswith(shelf.suffix))
    aside = (one.removeprefix(REMOVED_PREFIX) for one in found if one.startswith(REMOVED_PREFIX))
    return (
        tuple(one for one in found if _UUID.fullmatch(one)),
        tuple(one for one in aside if _UUID.fullmatch(one)),
    )


def has_entry(shelf: Shelf, name: str) -> bool:
    """Whether there is an entry of this name. Raises OSError."""
    try:
        with open_directory(shelf.place, *shelf.parts) as directory:
            os.stat(name, dir_fd=directory, follow_symlinks=False)
    except FileNotFoundError:
        return False
    return True


def set_entry_aside(shelf: Shelf, vm: str) -> None:
    """Rename what is left of a VM, durably; nothing to do if nothing is. Raises OSError."""
    with suppress(FileNotFoundError), open_directory(shelf.place, *shelf.parts) as directory:
        os.rename(shelf.name(vm), shelf.aside(vm), src_dir_fd=directory, dst_dir_fd=directory)
        os.fsync(directory)


def delete_set_aside(shelf: Shelf, vm: str) -> None:
    """Delete what is set aside of a VM, durably, file or directory, following no link. Raises OSError."""
    name = shelf.aside(vm)
    with suppress(FileNotFoundError), open_directory(shelf.place, *shelf.parts) as directory:
        try:
            os.unlink(name, dir_fd=directory)
        except IsADirectoryError:
            shutil.rmtree(name, dir_fd=directory)
        os.fsync(directory)
