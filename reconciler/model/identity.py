"""Identifiers that follow from what an object is: UUIDv5 of the data center, its id and its incarnation."""

from collections.abc import Iterator
from uuid import UUID, uuid5

from reconciler.model.names import object_id as object_id_of_kind

__all__ = [
    "disk_volume_uuid",
    "host_uuid",
    "mac_candidates",
    "object_id_of_kind",
    "object_uuid",
    "storage_uuid",
]


def object_uuid(data_center: str, identifier: str, incarnation: int) -> str:
    """The uuid of a new VM or disk; incarnation is 1 + the highest in records and tombstones."""
    return str(uuid5(UUID(data_center), f"{identifier}#{incarnation}"))


def disk_volume_uuid(image: str) -> str:
    """The uuid of the first volume of a disk image."""
    return str(uuid5(UUID(image), "volume"))


def host_uuid(data_center: str, identifier: str) -> str:
    """The uuid of a host whose manifest gives none."""
    return str(uuid5(UUID(data_center), identifier))


def storage_uuid(data_center: str, identifier: str) -> str:
    """The uuid of a storage domain whose manifest gives none."""
    return str(uuid5(UUID(data_center), identifier))


def mac_candidates(vm: str, nic: str, prefix: str) -> Iterator[str]:
    """MAC addresses for a card in the order in which they are tried; prefix is the pool's first three bytes.

    Unicast and locally administered as far as the prefix is; endless, the caller bounds its search.
    """
    attempt = 0
    while True:
        tail = uuid5(UUID(vm), f"{nic}#{attempt}").bytes[:3]
        yield prefix + "".join(f":{byte:02x}" for byte in tail)
        attempt += 1
