"""What a VM leaves besides its disks: its UEFI variables on storage, and its TPM's state on the host where it ran last.

Both go with the VM like the image of a removed disk: under another name, no byte lost. remove-vm calls it.
"""

import os
from collections.abc import Iterable
from pathlib import Path

from nodeagent.formats.domainlayout import REMOVED_PREFIX
from nodeagent.formats.files import open_directory
from nodeagent.host import Host
from nodeagent.operations.contract import OperationError


def set_aside_state(host: Host, places: Iterable[Path], vm: str) -> None:
    """Rename what is left of a VM in these storage domains and on this host, durably. Raises OperationError."""
    for place in places:
        _set_aside(place, ("master", "firmware"), f"{vm}.fd")
    _set_aside(host.paths.tpm_state, (), vm)


def find_state(host: Host, places: Iterable[Path], vm: str) -> str | None:
    """What is still there under its own name, in words. Raises OperationError if that cannot be told."""
    for place in places:
        if _exists(place, ("master", "firmware"), f"{vm}.fd"):
            return "the VM's UEFI variables are still in use"
    return "the VM's TPM state is still in use" if _exists(host.paths.tpm_state, (), vm) else None


def _set_aside(place: Path, parts: tuple[str, ...], name: str) -> None:
    try:
        with open_directory(place, *parts) as directory:
            os.rename(name, f"{REMOVED_PREFIX}{name}", src_dir_fd=directory, dst_dir_fd=directory)
            os.fsync(directory)
    except FileNotFoundError:
        return
    except OSError as error:
        raise _unreachable(place, name, error) from error


def _exists(place: Path, parts: tuple[str, ...], name: str) -> bool:
    try:
        with open_directory(place, *parts) as directory:
            os.stat(name, dir_fd=directory, follow_symlinks=False)
    except FileNotFoundError:
        return False
    except OSError as error:
        raise _unreachable(place, name, error) from error
    return True


def _unreachable(place: Path, name: str, error: OSError) -> OperationError:
    return OperationError(
        f"the VM is removed, and {name} in {place} not set aside: {error.strerror or error}",
        f"rename it to {REMOVED_PREFIX}{name}, or delete it if nobody needs it",
    )
