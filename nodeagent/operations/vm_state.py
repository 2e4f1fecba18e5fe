"""What a VM leaves besides its disks: its UEFI variables on storage, and its TPM's state on the host where it ran last.

Both go with the VM like the image of a removed disk: first under another name, no byte lost; and for good once its
days are over. remove-vm and purge-vm call it.
"""

from collections.abc import Callable, Iterator
from functools import partial

from nodeagent.formats.keptstate import (
    Shelf,
    delete_set_aside,
    firmware_shelf,
    has_entry,
    set_entry_aside,
    tpm_shelf,
)
from nodeagent.host import Host
from nodeagent.operations.contract import OperationError
from nodeagent.operations.record_places import find_copy, find_master
from nodeagent.wire.records import VmRecord


def set_aside_state(host: Host, master: str, record: VmRecord) -> None:
    """Rename what is left of a VM on its storage domains and on this host, durably. Raises OperationError."""
    for shelf in _shelves(host, master, record):
        _reach(shelf, shelf.name(record.uuid), "set aside", partial(set_entry_aside, vm=record.uuid))


def purge_state(host: Host, master: str, record: VmRecord) -> None:
    """Delete what is set aside of a VM on its storage domains and on this host, durably. Raises OperationError."""
    for shelf in _shelves(host, master, record):
        _reach(shelf, shelf.aside(record.uuid), "deleted", partial(delete_set_aside, vm=record.uuid))


def find_state(host: Host, master: str, record: VmRecord, *, aside: bool = False) -> str | None:
    """What is still there under its own name, or set aside, in words. Raises OperationError if that cannot be told."""
    state = "set aside" if aside else "in use"
    for shelf in _shelves(host, master, record):
        name = shelf.aside(record.uuid) if aside else shelf.name(record.uuid)
        if _reach(shelf, name, "looked for", partial(has_entry, name=name)):
            what = "UEFI variables are" if shelf.parts else "TPM state is"
            return f"the VM's {what} still {state}"
    return None


def _shelves(host: Host, master: str, record: VmRecord) -> Iterator[Shelf]:
    """Where a VM's state can lie: the domain of its first disk, as of its record's copy, the master; and this host."""
    yield firmware_shelf(find_master(host, master))
    copy = find_copy(host, master, record, required=False)
    if copy is not None:
        yield firmware_shelf(copy)
    yield tpm_shelf(host.paths.tpm_state)


def _reach(shelf: Shelf, name: str, done: str, act: Callable[[Shelf], bool | None]) -> bool:
    try:
        return bool(act(shelf))
    except OSError as error:
        raise OperationError(
            f"the VM is removed, and {name} in {shelf.place} not {done}: {error.strerror or error}",
            f"see to {shelf.place.joinpath(*shelf.parts)} on this host, then repeat; delete {name} if nobody needs it",
        ) from error
