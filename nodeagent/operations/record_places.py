"""Where records lie, for the operations that write them: the master domain, and the copy of a VM's record."""

from dataclasses import replace
from pathlib import Path
from typing import TypeVar

from nodeagent.host import Host
from nodeagent.operations.contract import OperationError
from nodeagent.wire.records import DiskRecord, PoolRecord, VmRecord

R = TypeVar("R", VmRecord, DiskRecord, PoolRecord)


def find_master(host: Host, master: str) -> Path:
    """The directory of the master domain, connected and answering. Raises OperationError.

    Refuses a domain that says of itself that it is none: records written there would not be found.
    """
    place = host.storage.answering_place(master)
    facts = next((facts for facts in host.storage.facts() if facts.uuid == master), None)
    if facts is None or not facts.master:
        raise OperationError(f"storage domain {master} is not a master domain", "observe and plan anew")
    return place


def find_copy(host: Host, master: str, record: VmRecord | None, *, required: bool) -> Path | None:
    """The directory of the record's copy; None if it has none, or it is not required and not connected."""
    copy_domain = record.copy_domain if record else None
    return host.storage.record_copy(master, copy_domain, required=required)


def stamp(record: R, key: str) -> R:
    """The record as it is written by the order with this key: a plan cannot know the key that it will have."""
    return replace(record, last_order=key)


def is_same(found: R | None, wanted: R) -> bool:
    """Whether storage has the record that an order brings, whichever order wrote it."""
    return found is not None and replace(found, last_order="") == replace(wanted, last_order="")
